"""Learn byte-pair merges from counted words, and apply them to one word.

Byte-pair encoding (Sennrich et al. 2016, section 3.2) replaces the most frequent pair of
neighbouring tokens by a new token, again and again. Here a word is a byte string whose values are
its first tokens (ids 0 to 255), a merge is a pair of ids, and the merge of rank r makes the id
256 + r. The results depend on counts and ids alone.

`learn` takes words with their counts and returns merges by rank, `spellings` the bytes of each id;
`apply` takes a word and returns its ids.

No two ids have one spelling. A token arises by merges within its own span, none of which depends on
its surroundings: a merge that did would cross the span's ends. So its bytes have one history, and
a pair that was merged everywhere never arises again.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

BYTES = 256

Pair = tuple[int, int]

_NONE = -1  # marks places without a token: between words, and inside a token


def learn(counts: Mapping[bytes, int], most: int) -> list[Pair]:
    """Learn up to `most` merges, by rank; fewer if no pair is left before.

    Each step takes the pair with the highest count; of pairs with equal counts, the lowest pair of
    ids. Exact: the counts are updated at each step, and a heap of counts is corrected lazily, when
    an outdated count comes to its top.
    """
    words = _Words(counts)
    lengths = [1] * BYTES
    merges: list[Pair] = []
    heap = [(-count, pair) for pair, count in words.counts.items()]
    heapify(heap)
    while heap and len(merges) < most:
        negative, pair = heappop(heap)
        count = words.counts[pair]
        if count == 0:
            continue
        if count < -negative:
            heappush(heap, (-count, pair))
            continue
        merges.append(pair)
        lengths.append(lengths[pair[0]] + lengths[pair[1]])
        for arisen in words.merge(pair, len(lengths) - 1, lengths):
            heappush(heap, (-words.counts[arisen], arisen))
    return merges


class _Words:
    """Hold all distinct words in one row, and where each pair of neighbours occurs.

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
        """Replace `pair` by `new` everywhere, from left to right; return the new pairs."""
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
        return arose


def spellings(merges: Iterable[Pair]) -> list[bytes]:
    """Return the spelling of each id, as a string of the first 256 ids.

    Raises `IndexError` for an id that is too high.
    """
    spelled = [bytes([value]) for value in range(BYTES)]
    for first, second in merges:
        spelled.append(spelled[first] + spelled[second])
    return spelled


def apply(word: Iterable[int], ranks: Mapping[Pair, int]) -> list[int]:
    """Return the ids of one word: the lowest rank merges first, then the leftmost.

    `ranks` has the rank of each merge. Takes time n log n for n bytes: one long word does no harm.
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
        tokens[place], tokens[right] = BYTES + rank, _NONE
        right = following[place] = following[right]
        if right < size:
            preceding[right] = place
            if (found := ranks.get((tokens[place], tokens[right]))) is not None:
                heappush(heap, (found, place))
        left = preceding[place]
        if left >= 0 and (found := ranks.get((tokens[left], tokens[place]))) is not None:
            heappush(heap, (found, left))
    return [token for token in tokens if token != _NONE]
