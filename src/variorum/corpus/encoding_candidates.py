"""Show how a line reads in the encodings that it may be in.

Nobody can tell the alphabets of western and eastern Europe apart by bytes alone, so nothing is
decided here: an error shows the readings, the ones with the fewest oddities first. An oddity is a
pair of neighbours that words hardly have: letters of two scripts, a capital behind a small letter,
or a sign between letters.
"""

import unicodedata
from itertools import pairwise

_SHOWN = 4
_BEFORE, _BEHIND = 12, 20  # characters around the place
# By how common they are: readings with as few oddities are shown in this order.
_ENCODINGS = (
    *("cp1252", "cp1250", "cp1251", "shift_jis", "gb18030", "big5", "euc_kr", "euc_jp"),
    *("cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "tis_620", "iso8859_2"),
    *("koi8_r", "iso8859_5", "mac_roman", "cp850", "cp866"),
)
_EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA")


def readings(line: bytes, offset: int) -> str:
    """Return how a line reads around a byte in the likeliest encodings."""
    found: dict[str, tuple[int, str]] = {}
    for encoding in _ENCODINGS:
        try:
            text, place = line.decode(encoding), len(line[:offset].decode(encoding))
        except UnicodeDecodeError:
            continue
        if text not in found:
            shown = text[max(0, place - _BEFORE) : place + _BEHIND]
            found[text] = _oddities(text), f"'{_plain(shown)}' in {encoding}"
    likeliest = sorted(found.values(), key=lambda reading: reading[0])  # stable
    return ", ".join(shown for _, shown in likeliest[:_SHOWN])


def _plain(text: str) -> str:
    """Return a text for one line of a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text).strip()


def _oddities(text: str) -> int:
    """Count neighbours that are unlikely beside each other, and characters that are no text."""
    beyond = [c for c in text if not c.isascii()]
    count = sum(unicodedata.category(c) in ("Cc", "Cn", "Co", "So", "Sk") for c in beyond)
    for one, other in pairwise(text):
        if one.isascii() and other.isascii():
            continue
        if one.isalpha() and other.isalpha():
            count += _script(one) != _script(other) or (one.islower() and other.isupper())
        elif one.isalpha() or other.isalpha():
            sign = other if one.isalpha() else one
            count += not sign.isascii() and not _stands_beside(sign)
    return count


def _stands_beside(sign: str) -> bool:
    """Return whether a sign stands beside words: a quotation mark, a dash, an accent, money."""
    return unicodedata.category(sign) in ("Pi", "Pf", "Pd", "Po", "Ps", "Pe", "Sc", "Mn", "Mc")


def _script(letter: str) -> str:
    """Return the script that a letter's name begins with; East Asia's count as one."""
    word = unicodedata.name(letter, "?").split()[0].split("-")[0]
    return "CJK" if word in _EAST_ASIAN else word
