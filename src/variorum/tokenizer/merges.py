"""Apply byte-pair merges to one word.

Byte-pair encoding (Sennrich et al. 2016, section 3.2) replaces the most frequent pair of
neighbouring tokens by a new token, again and again. Here a word is a byte string whose values are
its first tokens (ids 0 to 255), a merge is a pair of ids, and the merge of rank r makes the id
256 + r.

`apply` takes a word and returns its ids, `spellings` takes merges and returns the bytes of each id;
`learning.learn` finds merges.
"""

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

BYTES = 256

Pair = tuple[int, int]

_NONE = -1  # marks places without a token: between words, and inside a token


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
