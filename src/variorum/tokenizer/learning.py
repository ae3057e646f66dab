"""Learn byte-pair merges from counted words.

Byte-pair encoding (Sennrich et al. 2016, section 3.2) replaces the most frequent pair of
neighbouring tokens by a new token, again and again. `learn` takes words with their counts and
returns merges by rank; ids are as in `merges`. The result depends on counts and ids alone.

No two ids have one spelling. A token arises by merges within its own span, none of which depends on
its surroundings: a merge that did would cross the span's ends. So its bytes have one history, and
a pair that was merged everywhere never arises again. A pair arises with the newer of its ids, so
its places are known from that merge on, and later only become fewer.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
import numpy.typing as npt

from variorum.tokenizer.merges import BYTES, Pair

_NONE = -1  # marks places without a token: between words, and inside a token
_FEW = 48  # places up to which a loop is faster than array operations

Numbers = npt.NDArray[Any]


def learn(counts: Mapping[bytes, int], most: int) -> list[Pair]:
    """Learn up to `most` merges, by rank; fewer if no pair is left before.

    Each step takes the pair with the highest count; of pairs with equal counts, the lowest pair of
    ids. Exact: the counts are updated at each step, and a heap of counts is corrected lazily, when
    an outdated count comes to its top.
    """
    words = _Words(counts)
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
        for arisen in words.merge(pair):
            heappush(heap, (-words.counts[arisen], arisen))
    return merges


class _Words:
    """Hold all distinct words in one row, and where each pair of neighbours occurs.

    A token occupies as many places as it has bytes. `starts` has its id at its first place,
    `ends` at its last, so both neighbours of a token are found without links. The places of each
    pair ascend. Pairs with few places are merged one place after the other, others in arrays.
    """

    def __init__(self, counts: Mapping[bytes, int]) -> None:
        row, self._weights = _row(counts)
        self._starts, self._ends = row, row.copy()
        self._lengths = [1] * BYTES
        self.counts: defaultdict[Pair, int] = defaultdict(int)
        self._places: dict[Pair, list[int] | Numbers] = {}
        at = np.flatnonzero((row[:-1] != _NONE) & (row[1:] != _NONE))
        keys = row[at] * BYTES + row[at + 1]
        for key, places, weight in _grouped(keys, at, self._weights[at]):
            self._add(divmod(key, BYTES), places, weight)

    def merge(self, pair: Pair) -> Iterable[Pair]:
        """Replace `pair` by a new token everywhere, from left to right; return the new pairs."""
        places = self._places.pop(pair)
        self._lengths.append(self._lengths[pair[0]] + self._lengths[pair[1]])
        if len(places) > _FEW:
            return self._merge_many(pair, np.asarray(places))
        return self._merge_few(pair, np.asarray(places).tolist())

    def _add(self, pair: Pair, places: Numbers, weight: int) -> Pair:
        self._places[pair] = places
        self.counts[pair] = weight
        return pair

    def _merge_few(self, pair: Pair, places: Iterable[int]) -> Iterable[Pair]:
        # Views give single numbers faster than arrays.
        starts, ends, weights = self._starts.data, self._ends.data, self._weights.data
        counts, lengths = self.counts, self._lengths
        (first, second), new = pair, len(lengths) - 1
        skip, length = lengths[first], lengths[new]
        arose: defaultdict[Pair, list[int]] = defaultdict(list)
        for place in places:
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
                arose[left, new].append(place - lengths[left])
            if right != _NONE:
                counts[second, right] -= weight
                counts[new, right] += weight
                arose[new, right].append(place)
        self._places.update(arose)
        return arose

    def _merge_many(self, pair: Pair, places: Numbers) -> Iterable[Pair]:
        starts, ends, counts, lengths = self._starts, self._ends, self.counts, self._lengths
        (first, second), new = pair, len(lengths) - 1
        places = places[(starts[places] == first) & (starts[places + lengths[first]] == second)]
        if first == second:
            places = _apart(places, lengths[first])
        after = places + lengths[new]
        left, right, weights = ends[places - 1], starts[after], self._weights[places]
        starts[places] = ends[after - 1] = new
        starts[places + lengths[first]] = _NONE
        arose = []
        meet = places[1:] == after[:-1]  # the new token stands beside itself
        alone = left != _NONE
        alone[1:] &= ~meet
        for token, where, weight in _grouped(left[alone], places[alone], weights[alone]):
            counts[token, first] -= weight
            arose.append(self._add((token, new), where - lengths[token], weight))
        alone = right != _NONE
        alone[:-1] &= ~meet
        for token, where, weight in _grouped(right[alone], places[alone], weights[alone]):
            counts[second, token] -= weight
            arose.append(self._add((new, token), where, weight))
        if meet.any():
            weight = int(weights[1:][meet].sum())
            counts[second, first] -= weight
            arose.append(self._add((new, new), places[:-1][meet], weight))
        return arose


def _row(counts: Mapping[bytes, int]) -> tuple[Numbers, Numbers]:
    """Return all words' bytes in one row, each behind a place without, and their counts."""
    sizes = np.fromiter(map(len, counts), np.int64, len(counts)) + 1
    joined = np.frombuffer(b"".join(word + b"\0" for word in counts), dtype=np.uint8)
    row = np.concatenate([[_NONE], joined]).astype(np.int32)
    row[np.cumsum(sizes)] = _NONE
    weights = np.repeat(np.fromiter(counts.values(), np.int64, len(counts)), sizes)
    return row, np.concatenate([[0], weights])


def _apart(places: Numbers, skip: int) -> Numbers:
    """Return every other place of each run of places `skip` apart, from its first on."""
    number = np.arange(len(places))
    begins = np.where(np.diff(places, prepend=-skip - 1) != skip, number, 0)
    is_even: npt.NDArray[np.bool_] = (number - np.maximum.accumulate(begins)) % 2 == 0
    return places[is_even]


def _grouped(
    keys: Numbers, places: Numbers, weights: Numbers
) -> Iterator[tuple[int, Numbers, int]]:
    """Yield each distinct key, its places, and the sum of its weights."""
    if not len(keys):
        return
    order = np.argsort(keys, kind="stable")
    keys, places = keys[order], places[order]
    begins = np.append(0, np.flatnonzero(keys[1:] != keys[:-1]) + 1)
    sums = np.add.reduceat(weights[order], begins).tolist()
    slices = map(slice, begins.tolist(), [*begins[1:].tolist(), len(keys)])
    yield from zip(keys[begins].tolist(), map(places.__getitem__, slices), sums, strict=True)
