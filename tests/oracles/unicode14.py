"""Writes `src/variorum/corpus/unicode14.py` from a Python whose Unicode tables are version 14.0.0.

Python 3.11 is such a Python. From the repository root:

    python3.11 tests/oracles/unicode14.py > src/variorum/corpus/unicode14.py
"""

import sys
import unicodedata
from collections.abc import Callable, Iterator

VERSION = "14.0.0"
LINE = 92  # characters of a literal, so that the line with its quotes and indent has at most 100

HEADER = r'''r"""List classes of characters, pinned to Unicode 14.0.0, for brackets of `re`.

Every Python has its own Unicode tables, and `re` has no `\p{L}`. What a tokenizer or a text
filter decides must not depend on either, so the classes stand here as literal ranges:

    re.compile(f"[{LETTERS}]+")

They are written by `tests/oracles/unicode14.py`; edit that, not this. A surrogate (U+D800 to
U+DFFF, category Cs) is in none of them: it is neither a character nor unassigned.
"""
'''


def is_letter(character: str) -> bool:
    r"""Whether the character is in `\p{L}`."""
    return unicodedata.category(character)[0] == "L"


def is_number(character: str) -> bool:
    r"""Whether the character is in `\p{N}`."""
    return unicodedata.category(character)[0] == "N"


def is_white_space(character: str) -> bool:
    """Whether the character has the property White_Space.

    `unicodedata` does not know it; it is the separators and six control characters. `str.isspace`
    is more: it takes U+001C to U+001F.
    """
    return unicodedata.category(character)[0] == "Z" or character in "\t\n\v\f\r\x85"


def is_unassigned(character: str) -> bool:
    """Whether the character has the category Cn."""
    return unicodedata.category(character) == "Cn"


CLASSES: dict[str, tuple[Callable[[str], bool], str]] = {
    "LETTERS": (is_letter, r"`\p{L}`: letters of every script."),
    "NUMBERS": (is_number, r"`\p{N}`: digits, Roman numerals such as Ⅷ, and others such as ²."),
    "WHITE_SPACE": (
        is_white_space,
        r"The property White_Space: `\s` of the engines that GPT-2's pattern was written for.",
    ),
    "UNASSIGNED": (is_unassigned, "Category Cn: unassigned code points and noncharacters."),
}


def ranges(belongs: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """First and last code point of every run of characters that belong."""
    start: int | None = None
    for code in range(sys.maxunicode + 2):
        inside = code <= sys.maxunicode and belongs(chr(code))
        if inside and start is None:
            start = code
        if not inside and start is not None:
            yield start, code - 1
            start = None


def escaped(code: int) -> str:
    """The character as `re` reads it: itself, or an escape in ASCII."""
    if chr(code).isascii() and chr(code).isalnum():
        return chr(code)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def lines(belongs: Callable[[str], bool]) -> Iterator[str]:
    """The ranges as text, a line's worth at a time."""
    line = ""
    for first, last in ranges(belongs):
        text = escaped(first)
        if last > first:
            text += ("-" if last > first + 1 else "") + escaped(last)
        if len(line) + len(text) > LINE:
            yield line
            line = ""
        line += text
    yield line


def source() -> str:
    """The whole module."""
    parts = [HEADER]
    for name, (belongs, explanation) in CLASSES.items():
        literals = [f'r"{line}"' for line in lines(belongs)]
        if len(literals) == 1:
            value = literals[0]
        else:
            value = "(\n" + "".join(f"    {literal}\n" for literal in literals) + ")"
        mark = 'r"""' if "\\" in explanation else '"""'
        parts.append(f'{name} = {value}\n{mark}{explanation}"""\n')
    return "\n".join(parts)


if __name__ == "__main__":
    if unicodedata.unidata_version != VERSION:
        sys.exit(f"this Python has Unicode {unicodedata.unidata_version}; run one with {VERSION}")
    sys.stdout.write(source())
