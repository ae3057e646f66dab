"""State which of two needs fewer: the only module that words a comparison.

Every sentence of pages and tables that says better, more or not told apart is made here, from the
interval of a difference. The interval alone decides the `Verdict`; `claim`, `clauses` and `word`
say it. No other module of `report/` and `stages/`, and no template, compares in its own words
(`tests/report/test_claims.py`).
"""

import math
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TypeVar

from markupsafe import Markup

from variorum.evaluation.metrics import HEADLINE, Metric

One = TypeVar("One")


class Verdict(StrEnum):
    """Say what the interval of a difference, one minus other, shows."""

    FEWER = "fewer"
    MORE = "more"
    ALIKE = "alike"
    OPEN = "open"
    UNTOLD = "untold"


COUNTED = ("bits", "nats")
"""Units that a model needs; other metrics are only better or worse."""


def verdict(low: float | None, high: float | None, margin: float | None = None) -> Verdict:
    """Return what the interval from `low` to `high` of a difference shows.

    FEWER, MORE: it excludes 0, however small the difference. ALIKE: it includes 0, a margin is
    named, and it lies within the margin on both sides, as in two one-sided tests (Schuirmann 1987).
    OPEN: neither. UNTOLD: there is no interval, as of one seed, one part or no pairs.

    Args:
        low: lower end; None without an interval.
        high: upper end; None without an interval.
        margin: how far the interval of a difference that counts as none may reach to each side, in
            the metric's unit, named beforehand.

    Raises:
        ValueError: if the ends are no interval, or the margin is not above 0.
    """
    if margin is not None and not 0 < margin < math.inf:
        raise ValueError(f"a margin is above 0 and finite, not {margin}")
    if low is None and high is None:
        return Verdict.UNTOLD
    if low is None or high is None or not -math.inf < low <= high < math.inf:
        raise ValueError(f"no interval: {low} to {high}")
    if high < 0:
        return Verdict.FEWER
    if low > 0:
        return Verdict.MORE
    if margin is not None and -margin <= low and high <= margin:
        return Verdict.ALIKE
    return Verdict.OPEN


def claim(
    one: str,
    other: str,
    found: Verdict,
    write: Callable[[str], str],
    *,
    metric: Metric = HEADLINE,
    why: str = "there is no interval",
) -> str:
    """Return the sentence, without its full stop, that a verdict allows.

    It is `Markup` if a name or a number is; plain names are then escaped.

    Args:
        one: what is judged.
        other: what it is compared with.
        found: the verdict on one minus other.
        write: returns a number as text: "value", the size of the difference; "low" and "high",
            its interval; "margin". It is asked only for what the sentence shows.
        metric: what the numbers measure.
        why: the reason, if the verdict is UNTOLD.
    """
    sentence = _sentence(found, metric)
    parts = {name: write(name) for name in ("value", "low", "high", "margin") if name in sentence}
    parts |= {"one": one, "other": other, "label": metric.label, "why": why}
    marked = any(hasattr(part, "__html__") for part in parts.values())
    return (Markup(sentence) if marked else sentence).format(**parts)


def _sentence(found: Verdict, metric: Metric) -> str:
    """Return the sentence of a verdict, with places for names and numbers."""
    match found:
        case Verdict.FEWER | Verdict.MORE if metric.unit in COUNTED:
            return f"{{one}} needs {{value}} {{label}} {found} than {{other}} ({{low}} to {{high}})"
        case Verdict.FEWER | Verdict.MORE:
            said = word(found, metric)
            return (
                f"{{one}} is {said} than {{other}} in {{label}}, by {{value}} ({{low}} to {{high}})"
            )
        case Verdict.ALIKE:
            return "{one} and {other} differ by at most {margin} in {label} ({low} to {high})"
        case Verdict.OPEN:
            return "{one} and {other} are not told apart in {label} ({low} to {high})"
        case Verdict.UNTOLD:
            return "{one} and {other} are not compared in {label}: {why}"


def word(found: Verdict, metric: Metric = HEADLINE) -> str:
    """Return a verdict for a cell: better, worse, alike, not told apart, not compared."""
    match found:
        case Verdict.FEWER | Verdict.MORE:
            return "better" if (found is Verdict.FEWER) == (metric.better == "lower") else "worse"
        case Verdict.ALIKE:
            return "alike"
        case Verdict.OPEN:
            return "not told apart"
        case Verdict.UNTOLD:
            return "not compared"


def clauses(
    other: str,
    found: Iterable[tuple[One, Verdict]],
    name: Callable[[list[One]], str],
    metric: Metric = HEADLINE,
) -> str:
    """Return one phrase on several against one other, sorted by verdict.

    It is like `better than learned: rotary, alibi; not told apart from learned: none`.

    Args:
        other: what all are compared with.
        found: each with its verdict.
        name: returns the names of those with one verdict, such as `", ".join`.
        metric: what the numbers measure.
    """
    same: dict[str, list[One]] = {said: [] for said in LINKS}
    for one, each in found:
        same[word(each, metric)].append(one)
    return "; ".join(
        f"{said} {LINKS[said]} {other}: {name(ones)}" for said, ones in same.items() if ones
    )


LINKS = {
    "better": "than",
    "worse": "than",
    "alike": "to",
    "not told apart": "from",
    "not compared": "with",
}
"""What leads from the word of a verdict to the other."""


def legend(margin: str | None = None) -> str:
    """Return what the words of verdicts mean, in a sentence; `margin` with its unit."""
    alike = f"alike: it includes 0 and lies between ±{margin}; " if margin else ""
    rest = "it includes 0 and reaches further" if margin else "it includes 0"
    return (
        f"Better, worse: the interval of the difference excludes 0; {alike}not told apart: {rest}, "
        "which proves no equality."
    )
