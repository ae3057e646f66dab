"""Byte-pair merges: learned from counted words, and applied to one word.

Byte-pair encoding (Sennrich et al. 2016, section 3.2) replaces the most frequent pair of
neighbouring tokens by a new token, again and again. Here a word is a byte string whose values are
its first tokens (ids 0 to 255), a pair is two ids, and the result depends on counts and ids alone.

`learn` takes words with their counts and gives `Merges`; `apply` takes a word and gives its ids.

Two routes may spell the same bytes (`a`+`bc` and `ab`+`c`). They share one id, as a vocabulary
that is written by spelling demands.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise

BYTES = 256

Pair = tuple[int, int]

_NONE = -1  # stands where no token is: between words, and inside a token


@dataclass(frozen=True)
class Merges:
    """What was learned.

    `pairs` are the merges by rank, the first learned first. `ids` has the id that each makes, and
    `spellings` the bytes of each id in terms of the first 256.
    """

    pairs: tuple[Pair, ...]
    ids: tuple[int, ...]
    spellings: tuple[bytes, ...]


class MergeTable:
    """A growing vocabulary of merges: gives each new pair its id."""

    def __init__(self) -> None:
        self.spellings = [bytes([value]) for value in range(BYTES)]
        self.id_of = {spelling: i for i, spelling in enumerate(self.spellings)}
        self._made: dict[Pair, int] = {}

    def add(self, pair: Pair) -> int:
        """The id that `pair` merges into: that of its spelling, or the next free one."""
        spelling = self.spellings[pair[0]] + self.spellings[pair[1]]
        new = self.id_of.setdefault(spelling, len(self.spellings))
        if new == len(self.spellings):
            self.spellings.append(spelling)
        return self._made.setdefault(pair, new)

    def freeze(self) -> Merges:
        """The merges so far."""
        return Merges(tuple(self._made), tuple(self._made.values()), tuple(self.spellings))


class _Words:
    """All distinct words in one row, and where each pair of neighbours stands in it.

    A token occupies as many places as it has bytes. `starts` has its id at its first place,
    `ends` at its last, so both neighbours of a token are found without links.
    """

    def __init__(self, counts: Mapping[bytes, int]) -> None:
        self.starts = [_NONE]
        self.weights = [0]
        for word, count in counts.items():
            self.starts += word
            self.starts.append(_NONE)
            self.weights += [count] * (len(word) + 1)
        self.ends = self.starts.copy()
        self.counts: defaultdict[Pair, int] = defaultdict(int)
        self.places: defaultdict[Pair, list[int]] = defaultdict(list)
        for place, pair in enumerate(pairwise(self.starts)):
            if _NONE not in pair:
                self.counts[pair] += self.weights[place]
                self.places[pair].append(place)

    def merge(self, pair: Pair, new: int, lengths: list[int]) -> set[Pair]:
        """Replace `pair` by `new` everywhere, from left to right; give the pairs that arose."""
        starts, ends, weights = self.starts, self.ends, self.weights
        counts, places = self.counts, self.places
        first, second = pair
        skip, length = lengths[first], lengths[new]
        arose = set()
        for place in sorted(places.pop(pair)):
            middle = place + skip
            if starts[place] != first or starts[middle] != second:
                continue  # a merge since has taken one of the two
            weight, after = weights[place], place + length
            left, right = ends[place - 1], starts[after]
            starts[place] = ends[after - 1] = new
            starts[middle] = _NONE
            if left != _NONE:
                counts[left, first] -= weight
                counts[left, new] += weight
                places[left, new].append(place - lengths[left])
                arose.add((left, new))
            if right != _NONE:
                counts[second, right] -= weight
                counts[new, right] += weight
                places[new, right].append(place)
                arose.add((new, right))
        del counts[pair]
        return arose


def learn(counts: Mapping[bytes, int], vocab_size: int) -> Merges:
    """The merges that grow the vocabulary from the 256 bytes to `vocab_size` ids.

    Each step takes the pair with the highest count, and among equals the lowest pair of ids. Fewer
    ids come back if no pair is left before. Exact: the counts are kept up to date, and a heap of
    counts is corrected lazily, when an outdated one comes to its top.
    """
    table = MergeTable()
    words = _Words(counts)
    lengths = [1] * BYTES
    heap = [(-count, pair) for pair, count in words.counts.items()]
    heapify(heap)
    while len(table.spellings) < vocab_size and heap:
        negative, pair = heappop(heap)
        count = words.counts.get(pair, 0)
        if 0 < count < -negative:  # outdated: it goes back to where it belongs
            heappush(heap, (-count, pair))
        if count == 0 or count != -negative:
            continue
        new = table.add(pair)
        if new == len(lengths):
            lengths.append(len(table.spellings[new]))
        for arisen in words.merge(pair, new, lengths):
            heappush(heap, (-words.counts[arisen], arisen))
    return table.freeze()


def apply(word: Iterable[int], ranks: Mapping[Pair, int], ids: tuple[int, ...]) -> list[int]:
    """The ids of one word: the applicable merge of lowest rank first, the leftmost among equals.

    `ranks` has the rank of each pair, `ids` what the merge of each rank makes. Takes time
    n log n for n bytes, so that one long word does no harm.
    """
    tokens = list(word)
    size = len(tokens)
    following = list(range(1, size + 1))  # where the next token starts; `size` after the last
    preceding = list(range(-1, size - 1))
    heap = [(ranks[pair], place) for place, pair in enumerate(pairwise(tokens)) if pair in ranks]
    heapify(heap)
    while heap:
        rank, place = heappop(heap)
        right = following[place]
        if right >= size or ranks.get((tokens[place], tokens[right])) != rank:
            continue  # a merge since has taken one of the two
        tokens[place], tokens[right] = ids[rank], _NONE
        right = following[place] = following[right]
        if right < size:
            preceding[right] = place
            if (found := ranks.get((tokens[place], tokens[right]))) is not None:
                heappush(heap, (found, place))
        left = preceding[place]
        if left >= 0 and (found := ranks.get((tokens[left], tokens[place]))) is not None:
            heappush(heap, (found, left))
    return [token for token in tokens if token != _NONE]
