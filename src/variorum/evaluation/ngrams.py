"""Model bytes by smoothed n-grams (Kneser-Ney): the classical line for a model to cross.

Interpolated modified Kneser-Ney (Chen and Goodman 1999, section 3). The probability of a byte
behind its context of n - 1 bytes is

    p(b | context) = max(c(context b) - D, 0) / c(context) + share(context) · p(b | shorter context)

where D depends on the count, c are counts for the longest n-grams, and for shorter ones the number
of different symbols that precede them. Below the shortest all symbols are equally likely.
Documents end with a symbol of their own, which is paid for, as by the model, and counts no byte.
N-grams are packed into one integer each, 9 bits a symbol, so counts are sorted arrays.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from variorum.base.errors import VariorumError

Packed = NDArray[np.uint64]

END = 256
"""The symbol that follows every document, and precedes the first."""

SYMBOLS = 257
BITS = 9
MOST_ORDER = 7  # symbols in 64 bits


@dataclass(frozen=True)
class _Level:
    """Hold the n-grams of one length, sorted, with discounted shares, and their contexts.

    shares: max(c - D, 0) / c(context) of each n-gram. contexts: the different first n - 1 symbols
    of the n-grams; left: the share that each leaves to shorter n-grams.
    """

    grams: Packed
    shares: NDArray[np.float64]
    contexts: Packed
    left: NDArray[np.float64]


class NgramModel:
    """Learn n-grams from documents; `score` returns the cost of other documents."""

    def __init__(self, train: Iterable[bytes], order: int) -> None:
        """Learn n-grams of up to `order` symbols, from 1 to 7. Raises `VariorumError`."""
        if not 1 <= order <= MOST_ORDER:
            raise VariorumError(f"n-grams of {order} symbols; give 1 to {MOST_ORDER}")
        self.order = order
        packed = _packed(_stream(train), order)
        self._levels = _levels(packed, order)

    def score(self, documents: Iterable[bytes]) -> NDArray[np.float64]:
        """Return the nats of every symbol of these documents, their ends included."""
        packed = _packed(_stream(documents), self.order)
        likely = np.full(len(packed), 1 / SYMBOLS)
        for length, level in enumerate(self._levels, start=1):
            grams = _last(packed, length)
            own = _found(level.grams, level.shares, grams, 0.0)
            left = _found(level.contexts, level.left, grams >> np.uint64(BITS), 1.0)
            likely = own + left * likely
        nats: NDArray[np.float64] = -np.log(likely)
        return nats


def bits_per_byte(train: Iterable[str], test: Iterable[str], order: int) -> float:
    """Return an n-gram model's bits per byte of the test documents, given train.

    Raises:
        VariorumError: if the test documents hold no text, or the order is out of range.
    """
    documents = [document.encode() for document in test]
    n_bytes = sum(map(len, documents))
    if not n_bytes:
        raise VariorumError(
            "n-grams: the test documents hold no text, so there are no bits per byte; give a split "
            "with text in it"
        )
    model = NgramModel((document.encode() for document in train), order)
    return math.fsum(model.score(documents)) / math.log(2) / n_bytes


def _stream(documents: Iterable[bytes]) -> NDArray[np.uint64]:
    """Return all symbols, with an end after each document."""
    end = np.array([END], dtype=np.uint64)
    parts = [
        part
        for document in documents
        for part in (np.frombuffer(document, dtype=np.uint8).astype(np.uint64), end)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)


def _packed(stream: NDArray[np.uint64], order: int) -> Packed:
    """Pack each symbol with the `order - 1` before it; ends precede the first."""
    result = np.zeros(len(stream), dtype=np.uint64)
    padded = np.concatenate([np.full(order - 1, END, dtype=np.uint64), stream])
    for place in range(order):
        result = (result << np.uint64(BITS)) | padded[place : place + len(stream)]
    return result


def _last(packed: Packed, length: int) -> Packed:
    """Return the last symbols of each n-gram."""
    return packed & np.uint64((1 << BITS * length) - 1)


def _levels(packed: Packed, order: int) -> list[_Level]:
    """Return the levels, from single symbols to the longest n-grams."""
    grams, counts = np.unique(packed, return_counts=True)
    levels = [_level(grams, counts)]
    for length in range(order - 1, 0, -1):
        # each different longer n-gram counts once: for the symbol before
        grams, counts = np.unique(_last(grams, length), return_counts=True)
        levels.append(_level(grams, counts))
    return levels[::-1]


def _level(grams: Packed, counts: NDArray[np.int64]) -> _Level:
    discounts = _discounts(counts)
    taken = discounts[np.minimum(counts, 3)]
    contexts, place = np.unique(grams >> np.uint64(BITS), return_inverse=True)
    totals = np.bincount(place, counts)
    shares = (counts - taken) / totals[place]
    return _Level(grams, shares, contexts, np.bincount(place, taken) / totals)


def _discounts(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the discounts of n-grams that occurred never, once, twice, and more often.

    They follow from how many occurred how often (Chen and Goodman 1999, equation 17). A text too
    small for that gets 1/2, and no n-gram loses all of its count.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=5)
    result = np.zeros(4)
    y = n[1] / (n[1] + 2 * n[2]) if n[1] else 0.5
    for count in (1, 2, 3):
        known = n[count] > 0 and n[count + 1] > 0
        discount = count - (count + 1) * y * n[count + 1] / n[count] if known else 0.5
        result[count] = min(max(discount, 0.1), count - 0.1)
    return result


def _found(
    sorted_keys: Packed, values: NDArray[np.float64], wanted: Packed, otherwise: float
) -> NDArray[np.float64]:
    """Return the value of each wanted key, or `otherwise` where it is missing."""
    if not len(sorted_keys):
        return np.full(len(wanted), otherwise)
    places = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    return np.where(sorted_keys[places] == wanted, values[places], otherwise)
