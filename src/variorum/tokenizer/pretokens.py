r"""Split text into pretokens: the pieces that byte-pair encoding never merges across.

The pieces follow GPT-2's pattern (Radford et al. 2019, `encoder.py`):

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

An English contraction; a word, a number or a run of other signs, each with at most one space
before it; a run of white space, whose last space is left to the word that follows. Joined, the
pieces are the text again.

The classes are pinned to Unicode 14.0.0, so every Python agrees.
"""

import re
from collections.abc import Iterator
from functools import cache

from variorum.corpus.unicode14 import LETTERS, NUMBERS, WHITE_SPACE

_CHUNK = 1 << 20  # characters whose pretokens are made at once
# A line end between two signs is a pretoken; a space there begins the next one.
_CUT = re.compile(f"[^{WHITE_SPACE}](?:\n(?=[^{WHITE_SPACE}])|(?= [^{WHITE_SPACE}]))")


def split_by_chunks(text: str) -> Iterator[list[str]]:
    """Yield the pretokens of `text`, in order; of a long text some at once.

    All pretokens of a text take twenty times the memory of the text.
    """
    return map(split, chunks(text, _CHUNK))


def chunks(text: str, size: int) -> Iterator[str]:
    """Yield `text` in parts of about `size` characters, cut where a pretoken begins.

    At such a place the pattern, which sees one part, cuts as it does in the whole text.
    """
    start = 0
    while len(text) - start > size and (cut := _CUT.search(text, start + size - 1)):
        yield text[start : cut.end()]
        start = cut.end()
    yield text[start:]


def split(text: str) -> list[str]:
    """Return the pretokens of `text`, in order; a lone surrogate counts as other sign."""
    return _pattern(beyond_bmp=_has_beyond_bmp(text)).findall(text)


def _has_beyond_bmp(text: str) -> bool:
    """Return whether a character is above U+FFFF: an emoji, a rare script."""
    # UTF-16 takes four bytes for exactly such characters; counting is faster than a search.
    return not text.isascii() and len(text.encode("utf-16-le", "surrogatepass")) > 2 * len(text)


@cache
def _pattern(beyond_bmp: bool) -> re.Pattern[str]:
    """Return GPT-2's pattern, with the ranges above U+FFFF only if asked for.

    `re` tries those ranges one by one, so the pattern without them is fast.
    """
    letters, numbers = (LETTERS, NUMBERS) if beyond_bmp else (_bmp(LETTERS), _bmp(NUMBERS))
    return re.compile(
        "'(?:[stmd]|re|ve|ll)"
        f"| ?[{letters}]+"
        f"| ?[{numbers}]+"
        f"| ?[^{WHITE_SPACE}{letters}{numbers}]+"
        f"|[{WHITE_SPACE}]+(?![^{WHITE_SPACE}])"
        f"|[{WHITE_SPACE}]+"
    )


def _bmp(ranges: str) -> str:
    r"""Return a class's ranges up to U+FFFF, which precede the first `\U` escape."""
    return ranges.partition(r"\U")[0]
