"""Encode many texts, and count their pretokens, by array operations.

The results are the readable code's, for texts of any size. Each distinct pretoken gets a number,
and is encoded once, by the readable code; what follows is looked up by number.

A pretoken is found again by its bytes: up to 15 of them are two 64-bit words, the second of which
ends with their count. Their hash decides a place in a table, which holds the pretoken's number, and
its words by that are compared as a whole. So a hash can cost time and never changes a result: a
pretoken whose place another one took is looked up in a dictionary, as are longer ones.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain

import numpy as np
import numpy.typing as npt

from variorum.corpus.ranges import ranges
from variorum.tokenizer.base import PretokenTokenizer, Tokenizer, text_bytes
from variorum.tokenizer.boundaries import END, Places, begins
from variorum.tokenizer.pretokens import chunks

_TOGETHER = 1 << 18  # bytes of text whose arrays the processor's caches hold
_CACHED = 1 << 19  # tokens of numbered pretokens, after which numbers begin anew
_PLACE_BITS = 18
_SHORT = 15  # bytes that two words hold beside their count
_WORD = 8  # bytes
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(_WORD + 1)], dtype=np.uint64)
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)

_END = bytes([END])

Ids = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]
Encoder = Callable[[Iterable[str]], Ids]
"""Gives the tokens of some texts, each ended by `<|endoftext|>`."""


def encoder(tokenizer: Tokenizer) -> Encoder:
    """Return the fastest encoder that gives a tokenizer's ids."""
    if isinstance(tokenizer, PretokenTokenizer):
        return _PretokenEncoder(tokenizer)

    return partial(_encoded_readably, tokenizer)


def _encoded_readably(tokenizer: Tokenizer, texts: Iterable[str]) -> Ids:
    ids = ((*tokenizer.encode(text), tokenizer.eot) for text in texts)
    return np.fromiter(chain.from_iterable(ids), dtype=np.int32)


def count(texts: Iterable[str]) -> dict[bytes, int]:
    """Return how often each pretoken occurs in some texts."""
    numbering = _Numbering()
    totals = np.zeros(0, dtype=np.int64)
    for data in _joined(texts):
        found = np.bincount(numbering.of(data), minlength=len(numbering.spellings))
        found[: len(totals)] += totals
        totals = found
    counts = dict(zip(numbering.spellings, totals.tolist(), strict=True))
    del counts[_END]
    return counts


def _joined(texts: Iterable[str]) -> Iterator[bytes]:
    """Yield the bytes of texts, each ended by `END`; a long one in several parts."""
    held: list[bytes] = []
    size = 0
    for text in texts:
        for chunk in chunks(text, _TOGETHER):
            if size + len(chunk) > _TOGETHER:
                yield b"".join(held)
                held, size = [], 0
            held.append(text_bytes(chunk))
            size += len(held[-1]) + 1
        held.append(_END)
    yield b"".join(held)


class _Numbering(dict[bytes, int]):
    """Hold the numbers of distinct pretokens; `spellings` are by number."""

    def __init__(self) -> None:
        self.spellings: list[bytes] = []
        self._at_place = np.full(1 << _PLACE_BITS, self[_END], dtype=np.int32)
        self._low, self._high = np.zeros((2, 1 << _PLACE_BITS), dtype=np.uint64)  # by number

    def __missing__(self, pretoken: bytes) -> int:
        number = self[pretoken] = len(self.spellings)
        self.spellings.append(pretoken)
        return number

    def of(self, data: bytes) -> Numbers:
        """Return the number of each pretoken of texts that are joined (P,)."""
        starts = begins(np.frombuffer(data, dtype=np.uint8))
        stops = np.append(starts[1:], len(data))[: len(starts)]
        low, high, place = _words(data, starts, stops - starts)
        numbers: Numbers = self._at_place[place]
        rest = np.flatnonzero((self._low[numbers] != low) | (self._high[numbers] != high))
        spans = map(slice, starts[rest].tolist(), stops[rest].tolist())
        numbers[rest] = [self[pretoken] for pretoken in map(data.__getitem__, spans)]
        while len(self._low) < len(self.spellings):
            self._low, self._high = (np.append(words, words) for words in (self._low, self._high))
        short = rest[stops[rest] - starts[rest] <= _SHORT]
        self._low[numbers[short]] = low[short]
        self._high[numbers[short]] = high[short]
        self._at_place[place[short]] = numbers[short]
        return numbers


def _words(data: bytes, starts: Places, sizes: Places) -> tuple[Words, Words, Places]:
    """Return both words of each pretoken, and its place in the table; (P,) each."""
    padded = data + bytes(2 * _WORD)
    words: Words = np.ndarray(len(data) + _WORD, dtype="<u8", buffer=padded, strides=(1,))
    low = words[starts] & _MASKS[np.minimum(sizes, _WORD)]
    high = words[starts + _WORD] & _MASKS[np.clip(sizes - _WORD, 0, _WORD - 1)]
    high |= np.minimum(sizes, _SHORT + 1).astype(np.uint64) << np.uint64(8 * (_WORD - 1))
    place = (low * _FACTORS[0] ^ high * _FACTORS[1]) * _FACTORS[0]
    return low, high, (place >> np.uint64(64 - _PLACE_BITS)).astype(np.int64)


class _PretokenEncoder:
    """Encode by looking up the ids of each pretoken's number."""

    def __init__(self, tokenizer: PretokenTokenizer) -> None:
        self._tokenizer = tokenizer
        self._begin()

    def __call__(self, texts: Iterable[str]) -> Ids:
        """Return the tokens of `texts`, `<|endoftext|>` after each (N,)."""
        if len(self._ids) > _CACHED:
            self._begin()
        numbers = [self._numbering.of(data) for data in _joined(texts)]
        self._add_new()
        return np.concatenate(list(map(self._encoded, numbers)))

    def _begin(self) -> None:
        self._numbering = _Numbering()
        self._ids = np.array([self._tokenizer.eot], dtype=np.int32)
        self._stops = np.array([0, 1])  # in `_ids`, by number, behind a 0

    def _encoded(self, numbers: Numbers) -> Ids:
        begin, count = self._stops[numbers], np.diff(self._stops)[numbers]
        stop = np.cumsum(count)
        ids = np.empty(count.sum(), dtype=np.int32)
        ids[stop - count] = self._ids[begin]
        several = np.flatnonzero(count > 1)
        begin, stop, count = begin[several], stop[several], count[several]
        ids[ranges(stop - count, count)] = self._ids[ranges(begin, count)]
        return ids

    def _add_new(self) -> None:
        """Encode the pretokens that were numbered since."""
        new = self._numbering.spellings[len(self._stops) - 1 :]
        encoded = self._tokenizer.encode_pretokens(new)
        sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
        self._stops = np.append(self._stops, self._stops[-1] + np.cumsum(sizes))
        self._ids = np.append(self._ids, np.array([*chain.from_iterable(encoded)], np.int32))
