"""Measure leakage: how much of one text occurs, letter for letter, in another.

A split by group keeps related texts together, but a sentence may still occur in two groups. This
measures it: the share of the spans of validation or test text that occur in any train part. A text
shorter than a span, such as a name or a title, is a span by itself, and occurs where a whole train
part equals it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from variorum.corpus.ranges import Numbers, ranges

_BATCH = 1 << 20  # characters that are hashed and searched together
_ROOM, _MOST_BITS = 8, 26  # places for each hash that is looked for, and of all
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so it has an inverse modulo 2**64
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))

Hashes = npt.NDArray[np.uint64]
Piece = tuple[int, str]
"""Where a piece begins in all parts joined, and its characters."""


def share_of_spans(
    text_parts: Iterable[str], train_parts: Iterable[str], span: int = 50
) -> float | None:
    """Return the share of spans of `text_parts` that occur in any of `train_parts`.

    A span has `span` characters. Every position of a text counts; no span crosses from one part to
    the next; a shorter part counts once. The answer is exact: hashes find the candidates, and the
    characters decide. None if there is no text. Memory grows with `text_parts` only, by some 40
    bytes a character; `train_parts` are streamed, and a long one is searched piece by piece.
    """
    text = list(text_parts)
    short = Counter(part for part in text if 0 < len(part) < span)
    copied: set[str] = set()

    def without_short() -> Iterator[str]:
        for part in train_parts:
            if len(part) >= span:
                yield part
            elif part in short:
                copied.add(part)

    found = _found([part for part in text if len(part) >= span], without_short(), span)
    count = len(found) + short.total()
    hits = int(found.sum()) + sum(short[part] for part in copied)
    return hits / count if count else None


def _found(text: list[str], train_parts: Iterable[str], span: int) -> npt.NDArray[np.bool_]:
    """Return whether each span of the text occurs in train (S,), in any order."""
    hashed = [_hashed(batch, span) for batch in _batches(text, span)]
    starts = np.concatenate([np.empty(0, dtype=np.int64), *(each.starts for each in hashed)])
    hashes = np.concatenate([np.empty(0, dtype=np.uint64), *(each.hashes for each in hashed)])
    joined = "".join(text)
    del hashed, text
    order = np.argsort(hashes)
    ranked, starts = hashes[order], starts[order]
    del hashes, order
    found = np.zeros(len(starts), dtype=bool)  # in the order of `ranked`
    likely = _Likely(ranked)
    for batch in _batches(train_parts, span):
        if not len(starts):
            continue  # the short parts of train were noted on the way
        spans, alike = _occurring(likely.of(_hashed(batch, span)), span, ranked)
        maybe = alike[~found[alike]]
        found[maybe] = [joined[start : start + span] in spans for start in starts[maybe].tolist()]
    return found


@dataclass(frozen=True)
class _Hashed:
    """Hold a batch's spans: where they begin, here and in all parts, and their hashes."""

    text: str
    local: Numbers
    starts: Numbers
    hashes: Hashes


class _Likely:
    """Find out at once, of most spans, that they are not among the hashes `ranked`."""

    def __init__(self, ranked: Hashes) -> None:
        bits = min(_MOST_BITS, max(1, (_ROOM * len(ranked)).bit_length()))
        self._shift = np.uint64(64 - bits)
        self._is_there = np.zeros(1 << bits, dtype=bool)  # by the first bits of a hash
        self._is_there[ranked >> self._shift] = True

    def of(self, batch: _Hashed) -> _Hashed:
        """Return the spans that may be there."""
        maybe = np.flatnonzero(self._is_there[batch.hashes >> self._shift])
        return _Hashed(batch.text, batch.local[maybe], batch.starts[maybe], batch.hashes[maybe])


def _hashed(batch: list[Piece], span: int) -> _Hashed:
    """Return the spans of a batch; none crosses a piece's end."""
    text = "".join(piece for _, piece in batch)
    lengths = np.array([len(piece) for _, piece in batch], dtype=np.int64)
    begins, counts = np.cumsum(lengths) - lengths, np.maximum(lengths - span + 1, 0)
    local = ranges(begins, counts)
    shifts = np.array([place for place, _ in batch], dtype=np.int64) - begins
    return _Hashed(text, local, local + np.repeat(shifts, counts), _hashes(text, local, span))


def _occurring(batch: _Hashed, span: int, ranked: Hashes) -> tuple[set[str], Numbers]:
    """Return spans whose hash is among the ranked, and the places of these."""
    # In their order, neighbours look up neighbours, which the processor's caches hold.
    order = np.argsort(batch.hashes)
    hashes = batch.hashes[order]
    first = np.searchsorted(ranked, hashes)
    hit = ranked[np.minimum(first, len(ranked) - 1)] == hashes
    spans = {batch.text[n : n + span] for n in batch.local[order[hit]].tolist()}
    first = np.unique(first[hit])
    behind = np.searchsorted(ranked, ranked[first], side="right")
    return spans, ranges(first, behind - first)


def _batches(parts: Iterable[str], span: int) -> Iterator[list[Piece]]:
    """Yield pieces of about `_BATCH` characters together; each span is in exactly one of them."""
    batch: list[Piece] = []
    size = place = 0
    for part in parts:
        for start in range(0, max(1, len(part) - span + 1), _BATCH):
            piece = part[start : start + _BATCH + span - 1]
            batch.append((place + start, piece))
            size += len(piece)
            if size >= _BATCH:
                yield batch
                batch, size = [], 0
        place += len(part)
    if batch:
        yield batch


def _hashes(text: str, starts: Numbers, span: int) -> Hashes:
    """Return a polynomial hash, modulo 2**64, of the `span` characters from each start.

    With prefix sums P[i] = sum of c[j] * B**j over j < i, the sum of c[i+k] * B**k over a span is
    (P[i+span] - P[i]) * B**-i.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    prefix = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum((codes + np.uint64(1)) * _powers(_BASE, len(codes)), out=prefix[1:])
    sums = prefix[starts + span] - prefix[starts]
    return sums * _powers(_INVERSE, len(codes))[starts]


def _powers(base: np.uint64, count: int) -> Hashes:
    """Return base**0 … base**(count - 1), modulo 2**64."""
    return _many_powers(base, 1 << count.bit_length())[:count]


@lru_cache(maxsize=2)
def _many_powers(base: np.uint64, count: int) -> Hashes:
    factors = np.full(count, base, dtype=np.uint64)
    factors[:1] = 1
    return np.cumprod(factors, dtype=np.uint64)
