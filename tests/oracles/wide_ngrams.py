"""N-grams by whole arrays of 64-bit numbers: `evaluation.ngrams` has to agree to the bit."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oracles.kneser_ney import SlowNgramModel

Numbers = NDArray[np.int64]
Nats = NDArray[np.float64]

END, SYMBOLS, UNKNOWN = 256, 257, -1


@dataclass(frozen=True)
class _Grams:
    """Hold the n-grams of one length in a text of N symbols.

    keys: the different n-grams, sorted, as `shorter · SYMBOLS + first symbol`. numbers (N + 1,):
    which of them ends at each place; place 0 is the end of a document before the text. shorter
    (N + 1,): the same for n-grams that are one symbol shorter.
    """

    keys: Numbers
    numbers: Numbers
    shorter: Numbers


def nats_by_order(train: Iterable[bytes], documents: Iterable[bytes]) -> Iterator[Nats]:
    """Yield the nats of every symbol (N,), by n-grams of 1, 2, 3, ... symbols."""
    known, new = _stream(train), _stream(documents)
    likely = np.full(len(new), 1 / SYMBOLS)
    grams = _longer(known, np.zeros(len(known) + 1, dtype=np.int64), 1)
    found = np.zeros(len(new) + 1, dtype=np.int64)
    length = 1
    while True:
        contexts, found = found, _found(grams.keys, _keys(new, found, length))
        counts = np.bincount(grams.numbers[1:], minlength=len(grams.keys))
        yield -np.log(_interpolated(grams, counts, found[1:], contexts[:-1], likely))
        longer = _longer(known, grams.numbers, length + 1)
        # Each different longer n-gram counts once: for the symbol before.
        there = np.unique(longer.numbers[1:])
        before = np.bincount(longer.keys[there] // SYMBOLS, minlength=len(grams.keys))
        likely = _interpolated(grams, before, found[1:], contexts[:-1], likely)
        grams, length = longer, length + 1


def _stream(documents: Iterable[bytes]) -> Numbers:
    """Return all symbols, with an end after each document."""
    end = np.array([END], dtype=np.int64)
    parts = [
        part
        for document in documents
        for part in (np.frombuffer(document, dtype=np.uint8).astype(np.int64), end)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _keys(stream: Numbers, shorter: Numbers, length: int) -> Numbers:
    """Return the key of the n-gram at each place (N + 1,); negative if unknown."""
    first = np.concatenate([np.full(length, END), stream])[: len(shorter)]
    keys: Numbers = shorter * SYMBOLS + first
    return keys


def _longer(stream: Numbers, shorter: Numbers, length: int) -> _Grams:
    """Return the n-grams of `length` symbols, given the numbers of those one symbol shorter."""
    keys, numbers = np.unique(_keys(stream, shorter, length), return_inverse=True)
    return _Grams(keys, numbers, shorter)


def _found(keys: Numbers, wanted: Numbers) -> Numbers:
    """Return the place of each wanted key among the sorted, or `UNKNOWN`."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: Numbers = np.where(keys[places] == wanted, places, UNKNOWN)
    return found


def _interpolated(
    grams: _Grams, counts: Numbers, found: Numbers, contexts: Numbers, shorter: Nats
) -> Nats:
    """Return how likely symbols are, by n-grams of one length and what shorter ones say.

    Args:
        grams: the n-grams of the training text.
        counts: how often each of them counts.
        found: the number of each symbol's n-gram, or `UNKNOWN` (M,).
        contexts: the number of the n-gram before it, one symbol shorter, or `UNKNOWN` (M,).
        shorter: how likely each symbol is by shorter n-grams (M,).
    """
    behind = np.zeros(len(counts), dtype=np.int64)  # the context of each n-gram
    behind[grams.numbers[1:]] = grams.shorter[:-1]
    discounts = SlowNgramModel._discounts(dict(enumerate(counts.tolist())))
    taken = np.array([0.0, *discounts.values()])[np.minimum(counts, 3)]
    totals = np.bincount(behind, counts)
    shares = (counts - taken) / np.maximum(1, totals[behind])
    left = np.ones(len(totals))
    np.divide(np.bincount(behind, taken), totals, out=left, where=totals > 0)
    own = np.where(found == UNKNOWN, 0.0, shares[found])
    known = (contexts != UNKNOWN) & (contexts < len(left))
    return own + np.where(known, left[np.where(known, contexts, 0)], 1.0) * shorter
