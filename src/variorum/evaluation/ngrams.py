"""Model bytes by smoothed n-grams (Kneser-Ney): the classical line for a model to cross.

Interpolated modified Kneser-Ney (Chen and Goodman 1999, section 3). The probability of a byte
behind its context of n - 1 bytes is

    p(b | context) = max(c(context b) - D, 0) / c(context) + share(context) · p(b | shorter context)

where D depends on the count, c are counts for the longest n-grams, and for shorter ones the number
of different symbols that precede them. Below the shortest all symbols are equally likely.
Documents end with a symbol of their own, which is paid for, as by the model, and counts no byte.

N-grams of any length have numbers: one of length n + 1 is known by the number of its last n symbols
and its first symbol. So each length is a sorted array of integers, made from the one before, and
the costs of all orders come out of one pass. Memory: some 60 bytes for each symbol of the training
text, and 40 for each that is predicted.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from variorum.base.errors import VariorumError

Symbols = NDArray[np.uint16]
Numbers = NDArray[np.int32]
Keys = NDArray[np.int64]
Nats = NDArray[np.float64]

END = 256
"""The symbol that follows every document, and precedes the first."""

SYMBOLS = 257
UNKNOWN = -1
"""In place of the number of an n-gram that the training text lacks."""

MOST_SYMBOLS = 2**27 - 1
"""Of training text: key and place of an n-gram fit into 63 bits together."""

BLOCK = 1 << 20  # symbols that are predicted at once


def nats_by_order(train: Iterable[bytes], documents: Iterable[bytes]) -> Iterator[Nats]:
    """Yield the nats of every symbol (N,), by n-grams of 1, 2, 3, ... symbols.

    Raises:
        VariorumError: if the training text has more than `MOST_SYMBOLS`.
    """
    known, new = _stream(train), _stream(documents)
    if len(known) > MOST_SYMBOLS:
        raise VariorumError(
            f"n-grams of a training text of {len(known):,} symbols; give at most {MOST_SYMBOLS:,}"
        )
    likely = np.full(len(new), 1 / SYMBOLS)
    shorter, contexts = (np.zeros(len(each) + 1, dtype=np.int32) for each in (known, new))
    numbers, keys = _longer(known, shorter, 1)
    found = _found(keys, new, contexts, 1)
    different, length = len(keys), 1
    del keys
    while True:
        behind = np.zeros(different, dtype=np.int32)  # the context of each n-gram
        behind[numbers[1:]] = shorter[:-1]
        del shorter
        counts = np.bincount(numbers[1:], minlength=len(behind))
        yield -np.log(_interpolated(behind, counts, found[1:], contexts[:-1], likely))
        del counts
        longer, keys = _longer(known, numbers, length + 1)
        found_longer = _found(keys, new, found, length + 1)
        # Each different longer n-gram counts once: for the symbol before.
        before = np.bincount(keys // SYMBOLS, minlength=len(behind))
        if not (longer[1:] == longer[0]).any():  # it stands before the text only
            before[numbers[0]] -= 1
        different = len(keys)
        del keys
        likely = _interpolated(behind, before, found[1:], contexts[:-1], likely)
        shorter, numbers, contexts, found = numbers, longer, found, found_longer
        length += 1


def nats(train: Iterable[bytes], documents: Iterable[bytes], order: int) -> Nats:
    """Return the nats of every symbol of the documents, their ends included.

    Raises:
        VariorumError: if the order is not at least 1.
    """
    if order < 1:
        raise VariorumError(f"n-grams of {order} symbols; give at least 1")
    return next(islice(nats_by_order(train, documents), order - 1, None))


def best_order(train: Iterable[bytes], val: Iterable[bytes], most: int) -> int:
    """Return the order, of 1 to `most`, whose n-grams need the fewest nats for val."""
    costs = [math.fsum(found) for found in islice(nats_by_order(train, val), most)]
    return 1 + costs.index(min(costs))


def _stream(documents: Iterable[bytes]) -> Symbols:
    """Return all symbols, with an end after each document."""
    end = np.array([END], dtype=np.uint16)
    parts = [
        part for document in documents for part in (np.frombuffer(document, dtype=np.uint8), end)
    ]
    return np.concatenate(parts, dtype=np.uint16) if parts else np.empty(0, dtype=np.uint16)


def _first(stream: Symbols, length: int) -> Symbols:
    """Return the first symbol of the n-gram at each place (N + 1,)."""
    return np.concatenate([np.full(length, END, dtype=np.uint16), stream])[: len(stream) + 1]


def _keys(shorter: Numbers, first: Symbols) -> Keys:
    """Return the keys of n-grams; negative where the shorter one is unknown."""
    keys: Keys = shorter.astype(np.int64)
    keys *= SYMBOLS
    keys += first
    return keys


def _longer(stream: Symbols, shorter: Numbers, length: int) -> tuple[Numbers, Keys]:
    """Return the n-grams of `length` symbols, given the numbers of those one symbol shorter.

    First which of them ends at each place (N + 1,); place 0 is the end of a document before the
    text. Then the keys of the different ones, sorted.
    """
    bits = len(stream).bit_length()
    ranked = _keys(shorter, _first(stream, length))
    ranked <<= bits  # each key with its place behind it, so that both are sorted in place
    ranked |= np.arange(len(ranked))
    ranked.sort()
    places = (ranked & ((1 << bits) - 1)).astype(np.int32)
    ranked >>= bits
    differs = np.ones(len(ranked), dtype=bool)
    np.not_equal(ranked[1:], ranked[:-1], out=differs[1:])
    keys = ranked[differs]
    del ranked
    numbers = np.empty(len(places), dtype=np.int32)
    numbers[places] = np.cumsum(differs, dtype=np.int32) - 1
    return numbers, keys


def _found(keys: Keys, stream: Symbols, shorter: Numbers, length: int) -> Numbers:
    """Return the number of the n-gram at each place (N + 1,), or `UNKNOWN`."""
    found, first = np.empty(len(shorter), dtype=np.int32), _first(stream, length)
    for block in _blocks(len(shorter)):
        wanted = _keys(shorter[block], first[block])
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found[block] = np.where(keys[places] == wanted, places, UNKNOWN)
    return found


def _interpolated(
    behind: Numbers, counts: NDArray[np.int64], found: Numbers, contexts: Numbers, shorter: Nats
) -> Nats:
    """Return how likely symbols are, by n-grams of one length and what shorter ones say.

    Args:
        behind: the context of each n-gram of the training text, one symbol shorter.
        counts: how often each of them counts.
        found: the number of each symbol's n-gram, or `UNKNOWN` (M,).
        contexts: the number of the n-gram before it, one symbol shorter, or `UNKNOWN` (M,).
        shorter: how likely each symbol is by shorter n-grams (M,).
    """
    totals = np.bincount(behind, counts)
    taken = _discounts(counts)[np.minimum(counts, 3)]
    left = np.bincount(behind, taken)
    np.divide(left, totals, out=left, where=totals > 0)
    left[totals == 0] = 1
    shares = np.subtract(counts, taken, out=taken)
    shares /= np.maximum(1, totals, out=totals)[behind]
    likely = np.empty(len(found))
    for block in _blocks(len(found)):
        gram, context = found[block], contexts[block]
        own = np.where(gram == UNKNOWN, 0.0, shares[gram])
        known = (context != UNKNOWN) & (context < len(left))
        rest = np.where(known, left[np.where(known, context, 0)], 1.0)
        likely[block] = own + rest * shorter[block]
    return likely


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, BLOCK):
        yield slice(start, start + BLOCK)


def _discounts(counts: NDArray[np.int64]) -> Nats:
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
