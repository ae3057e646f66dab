"""Write numbers for people: the one place where a table, figure or page rounds."""

import math

from variorum.report import units

MINUS = "−"
NO_BREAK = "\u00a0"
THIN = "\u202f"
MORE_DIGITS = 3


def fixed(value: float, digits: int = 3) -> str:
    """Write `value` with so many decimals, a true minus sign, and never minus zero."""
    text = f"{value:.{digits}f}"
    if not text.startswith("-"):
        return text
    return MINUS + text[1:] if float(text) else text[1:]


def signed(value: float, digits: int = 3) -> str:
    """Do as `fixed`, with a plus sign before a value above zero.

    An end of an interval decides a verdict by its sign alone, so what rounds to zero gets up to
    `MORE_DIGITS` more decimals.
    """
    for more in range(MORE_DIGITS + 1):
        text = fixed(value, digits + more)
        if text.startswith(MINUS):
            return text
        if float(text):
            return "+" + text
    return fixed(value, digits)


def percent(share: float, digits: int = 0) -> str:
    """Write a share as percent: 0.25 is `25 %`."""
    return fixed(100 * share, digits) + NO_BREAK + "%"


def count(value: int) -> str:
    """Write a whole number with its thousands apart: `1 234 567`."""
    return f"{value:,}".replace(",", THIN).replace("-", MINUS)


def size(n_bytes: int) -> str:
    """Return bytes in the decimal unit that fits, in one piece: `1.25 MB`."""
    return units.size(n_bytes).replace(" ", NO_BREAK)


def significant(value: float, digits: int = 3) -> str:
    """Write a positive value with so many significant digits, such as a rate: `0.0003`."""
    return f"{value:.{digits}g}"


def scientific(value: float) -> str:
    """Write a large positive number in powers of ten: `1.23e12`; `0` for none."""
    if not value:
        return "0"
    power = math.floor(math.log10(value))
    digits = f"{value / 10**power:.2f}"
    return f"1.00e{power + 1}" if digits == "10.00" else f"{digits}e{power}"
