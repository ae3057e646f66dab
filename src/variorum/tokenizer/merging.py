"""Apply byte-pair merges to many words at once, by array operations.

The same ids as `merges.apply` gives. Words are rows of a table; each step makes one merge in
every row that has one left: the lowest rank, and of equal ones the leftmost.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from variorum.tokenizer.merges import BYTES, Pair, apply

_LONG = 64  # bytes of a word in a row; longer words are rare
_ROWS = 1 << 11  # words of a table, about equally long
_SHIFT = 32  # bits of an id in a pair's key
_NO_RANK = np.int32(np.iinfo(np.int32).max)
_NONE = -1

Ids = npt.NDArray[Any]


class Merging:
    """Apply merges, given by rank."""

    def __init__(self, ranks: Mapping[Pair, int]) -> None:
        self._merges = ranks
        pairs = np.array([*ranks], dtype=np.int64).reshape(-1, 2)
        keys = _keys(pairs[:, 0], pairs[:, 1])
        order = np.argsort(keys)
        self._sorted = np.append(keys[order], np.iinfo(np.int64).max)
        self._ranks = np.append(np.array([*ranks.values()], dtype=np.int32)[order], _NO_RANK)
        every = np.arange(BYTES)
        self._ranks_of_bytes = self._ranks_of(every[:, None], every)  # (256, 256)

    def apply(self, words: Sequence[bytes]) -> list[list[int]]:
        """Return the ids of each word, whose bytes are its first ids."""
        ids: list[list[int]] = [[]] * len(words)
        by_size = sorted(range(len(words)), key=lambda number: len(words[number]))
        while by_size and len(words[by_size[-1]]) > _LONG:
            number = by_size.pop()
            ids[number] = apply(words[number], self._merges)
        for first in range(0, len(by_size), _ROWS):
            numbers = by_size[first : first + _ROWS]
            for number, row in zip(numbers, self._rows([words[n] for n in numbers]), strict=True):
                ids[number] = row
        return ids

    def _rows(self, words: list[bytes]) -> list[list[int]]:
        """Return the ids of W words; the last is as long as any, L bytes."""
        sizes = np.fromiter(map(len, words), np.int32, len(words))
        width = max(2, len(words[-1]))
        data = np.frombuffer(b"".join(word.ljust(width) for word in words), dtype=np.uint8)
        data = data.reshape(-1, width)
        within = np.arange(width) < sizes[:, None]
        tokens = np.where(within, data.astype(np.int32), _NONE)  # (W, L)
        ranks = self._ranks_of_bytes[data[:, :-1], data[:, 1:]]  # (W, L - 1)
        ranks[~within[:, 1:]] = _NO_RANK
        done = tokens.copy()
        live = np.arange(len(words))  # the rows that merges are left in
        while len(live):
            at = ranks.argmin(axis=1)
            rank = ranks[np.arange(len(live)), at]
            more = rank != _NO_RANK
            done[live[~more]] = tokens[~more]
            live, tokens, ranks = live[more], tokens[more], ranks[more]
            sizes[live] -= 1
            self._merge(tokens, ranks, at[more], rank[more])
        return [row[:size] for row, size in zip(done.tolist(), sizes.tolist(), strict=True)]

    def _merge(self, tokens: Ids, ranks: Ids, at: Ids, rank: Ids) -> None:
        """Join a pair in each row; (R, L), (R, L - 1), (R,), (R,)."""
        behind = np.arange(tokens.shape[1] - 1) > at[:, None]
        tokens[:, :-1] = np.where(behind, tokens[:, 1:], tokens[:, :-1])
        ranks[:, :-1] = np.where(behind[:, :-1], ranks[:, 1:], ranks[:, :-1])
        tokens[:, -1], ranks[:, -1] = _NONE, _NO_RANK
        rows = np.arange(len(at))
        tokens[rows, at] = BYTES + rank
        has_left = np.flatnonzero(at > 0)
        rows, columns = np.append(rows, rows[has_left]), np.append(at, at[has_left] - 1)
        ranks[rows, columns] = self._ranks_of(tokens[rows, columns], tokens[rows, columns + 1])

    def _ranks_of(self, left: Ids, right: Ids) -> Ids:
        """Return the rank of each pair; a pair that is not merged has none."""
        keys = _keys(left, right)
        place = np.searchsorted(self._sorted, keys)
        return np.where(self._sorted[place] == keys, self._ranks[place], _NO_RANK)


def _keys(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    keys: npt.NDArray[np.int64] = left.astype(np.int64) << _SHIFT | right
    return keys
