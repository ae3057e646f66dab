r"""Pre-tokenization: the pieces of text that byte-pair encoding never merges across.

The pieces are those of GPT-2's pattern (Radford et al. 2019, `encoder.py`):

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

An English contraction; a word, a number or a run of other signs, each with at most one space
before it; a run of white space, whose last space is left to the word that follows. Joined, the
pieces are the text again.

Takes a text, gives its pieces. The classes are pinned to Unicode 14.0.0, so every Python agrees.
"""

import re
from functools import cache

from variorum.base.unicode14 import LETTERS, NUMBERS, WHITE_SPACE


def split(text: str) -> list[str]:
    """The pretokens of `text`, in order. A lone surrogate counts as one of the other signs."""
    return _pattern(beyond_bmp=_has_beyond_bmp(text)).findall(text)


def _has_beyond_bmp(text: str) -> bool:
    """Whether a character is above U+FFFF: an emoji, a rare script."""
    # UTF-16 takes four bytes for exactly those; counting them is faster than a search.
    return not text.isascii() and len(text.encode("utf-16-le", "surrogatepass")) > 2 * len(text)


@cache
def _pattern(beyond_bmp: bool) -> re.Pattern[str]:
    """GPT-2's pattern. Without the ranges above U+FFFF, which `re` tries one by one, it is fast."""
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
    r"""The ranges of a class up to U+FFFF: they stand before the first `\U` escape."""
    return ranges.partition(r"\U")[0]
