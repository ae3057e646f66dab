"""Measure leakage: how much of one text occurs, letter for letter, in another.

A split by group keeps related texts together, but a sentence may still occur in two groups. This
measures it: the share of the spans of validation or test text that occur in any train part.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

_BATCH = 1 << 20  # characters of train that are searched together
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so it has an inverse modulo 2**64
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))


def share_of_spans(text_parts: Iterable[str], train_parts: Iterable[str], span: int = 50) -> float:
    """Return the share of spans of `text_parts` that occur in any of `train_parts`.

    A span has `span` characters. Every position of a text counts; no span crosses from one part to
    the next. The answer is exact: hashes find the candidates, and the characters decide. 0 if no
    part is as long as `span`. Memory grows with `text_parts` only; `train_parts` are streamed.
    """
    text = list(text_parts)
    joined = "".join(text)
    starts = _span_starts([len(part) for part in text], span)
    if not len(starts):
        return 0.0
    hashes = _hashes(joined, starts, span)
    order = np.argsort(hashes)
    ranked = hashes[order]
    first_alike = np.searchsorted(ranked, ranked)  # the first of equal hashes represents all
    found = np.zeros(len(starts), dtype=bool)  # in the order of `ranked`
    for batch in _batches(train_parts):
        train = "".join(batch)
        train_starts = _span_starts([len(part) for part in batch], span)
        train_hashes = _hashes(train, train_starts, span)
        places = np.minimum(np.searchsorted(ranked, train_hashes), len(ranked) - 1)
        hit = ranked[places] == train_hashes
        spans = {train[start : start + span] for start in train_starts[hit].tolist()}
        reached = np.zeros(len(starts), dtype=bool)
        reached[places[hit]] = True
        maybe = np.flatnonzero(reached[first_alike] & ~found)
        found[maybe] = [
            joined[start : start + span] in spans for start in starts[order[maybe]].tolist()
        ]
    return float(found.mean())


def _span_starts(lengths: list[int], span: int) -> npt.NDArray[np.int64]:
    """Return where spans begin in joined parts; none crosses a part's end."""
    ends = np.cumsum(np.array(lengths, dtype=np.int64))
    rooms = np.maximum(np.array(lengths, dtype=np.int64) - span + 1, 0)  # spans of each part
    offsets = ends - lengths - (np.cumsum(rooms) - rooms)
    starts: npt.NDArray[np.int64] = np.arange(rooms.sum()) + np.repeat(offsets, rooms)
    return starts


def _hashes(text: str, starts: npt.NDArray[np.int64], span: int) -> npt.NDArray[np.uint64]:
    """Return a polynomial hash, modulo 2**64, of the `span` characters from each start.

    With prefix sums P[i] = sum of c[j] * B**j over j < i, the sum of c[i+k] * B**k over a span is
    (P[i+span] - P[i]) * B**-i.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    prefix = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum((codes + np.uint64(1)) * _powers(_BASE, len(codes)), out=prefix[1:])
    sums = prefix[starts + span] - prefix[starts]
    return sums * _powers(_INVERSE, len(codes))[starts]


def _powers(base: np.uint64, count: int) -> npt.NDArray[np.uint64]:
    """Return base**0 … base**(count - 1), modulo 2**64."""
    factors = np.full(count, base, dtype=np.uint64)
    factors[:1] = 1
    return np.cumprod(factors, dtype=np.uint64)


def _batches(parts: Iterable[str]) -> Iterator[list[str]]:
    """Yield whole parts, `_BATCH` characters or more together (the last batch may be shorter)."""
    batch: list[str] = []
    size = 0
    for part in parts:
        batch.append(part)
        size += len(part)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
