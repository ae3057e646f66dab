r"""Find where pretokens begin in the bytes of texts, all at once.

The same pieces as `pretokens.split` gives, by array operations instead of GPT-2's pattern. A
pretoken begins where the class of characters changes (letter, number, white space, other sign);
three rules correct that:

- the last character of white space before a sign begins a pretoken, and is joined with that sign
  if it is a space;
- an apostrophe that begins a pretoken is one with the contraction behind it;
- the byte `END`, which no UTF-8 has, ends a text, and is a pretoken by itself.
"""

import re
from functools import cache

import numpy as np
import numpy.typing as npt

from variorum.corpus.unicode14 import LETTERS, NUMBERS, WHITE_SPACE

END = 0xFF
"""The byte behind each text."""

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

_OTHER, _LETTER, _NUMBER, _WHITE, _END = range(5)
_SPACE, _APOSTROPHE = b" '"
_ASCII = 0x80
_LEAD = 0xC0  # from here on, a byte begins a character of several bytes
_RANGE = re.compile("(.)-(.)|(.)", re.DOTALL)
_CONTRACTIONS = (b"s", b"t", b"m", b"d", b"re", b"ve", b"ll")


def begins(data: Bytes) -> Places:
    """Return where pretokens begin in the texts `data` (N,), each ended by `END`."""
    kinds = _kinds(data)
    new = np.empty(len(data), dtype=bool)
    new[:1] = True
    np.not_equal(kinds[1:], kinds[:-1], out=new[1:])
    ends = kinds == _END
    new |= ends
    white = kinds == _WHITE
    # White space before a sign; at the end of a text it is one piece.
    sign = np.flatnonzero(white[:-1] & ~white[1:] & ~ends[1:]) + 1
    last = sign - 1
    while len(inside := np.flatnonzero((data[last] & _LEAD) == _ASCII)):
        last[inside] -= 1
    new[last] = True
    new[sign[data[last] == _SPACE]] = False
    _contract(data, new)
    return np.flatnonzero(new)


def _kinds(data: Bytes) -> Bytes:
    """Return the class of the character that each byte belongs to (N,)."""
    kinds = _kinds_of_characters()[:256].copy()
    kinds[END] = _END
    found = kinds[data]
    lead = np.flatnonzero((data >= _LEAD) & (data < END))
    if not len(lead):
        return found
    sizes = 2 + (data[lead] >= 0xE0) + (data[lead] >= 0xF0)
    codes = data[lead].astype(np.int64) & (_ASCII - 1 >> sizes)
    for behind in range(1, 4):
        has = sizes > behind
        codes[has] = codes[has] << 6 | data[lead[has] + behind] & 0x3F
    kinds_found = _kinds_of_characters()[codes]
    for behind in range(4):
        has = sizes > behind
        found[lead[has] + behind] = kinds_found[has]
    return found


def _contract(data: Bytes, new: npt.NDArray[np.bool_]) -> None:
    """Make one pretoken of an apostrophe that begins one and the contraction behind it."""
    quotes = np.flatnonzero((data == _APOSTROPHE) & new)
    for letters in _CONTRACTIONS:
        after = quotes[quotes < len(data) - len(letters)]
        for behind, letter in enumerate(letters, start=1):
            after = after[data[after + behind] == letter]
        new[after + 1] = False
        beyond = after + len(letters) + 1
        new[beyond[beyond < len(data)]] = True


@cache
def _kinds_of_characters() -> Bytes:
    """Return the class of every code point."""
    kinds = np.full(0x110000, _OTHER, dtype=np.uint8)
    for kind, ranges in ((_LETTER, LETTERS), (_NUMBER, NUMBERS), (_WHITE, WHITE_SPACE)):
        for first, last, single in _RANGE.findall(ranges.encode().decode("unicode_escape")):
            kinds[ord(first or single) : ord(last or single) + 1] = kind
    return kinds
