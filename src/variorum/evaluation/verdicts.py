"""Judge a stress case by measurement and threshold; the verdict can be "failed"."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Comparison = Literal["<=", ">="]


@dataclass(frozen=True)
class Case:
    """Report one case of the stress catalogue, carried out on one model.

    `measured` is None where there was nothing to measure, because the model broke before; such a
    case has not passed, and `explanation` says what happened. `excerpt` is text to read, made
    legible. `parts` are the parts of the measurement, by name, in words.
    """

    name: str
    title: str
    question: str
    measured: float | None
    threshold: float
    comparison: Comparison
    passed: bool
    explanation: str
    excerpt: str
    parts: Mapping[str, str] = field(default_factory=dict)


def judge(
    name: str,
    title: str,
    question: str,
    *,
    measured: float | None,
    threshold: float,
    comparison: Comparison,
    explanation: str,
    excerpt: str = "",
    parts: Mapping[str, str] | None = None,
) -> Case:
    """Return the case with its verdict; a measurement that is not finite counts as none."""
    if measured is None or not math.isfinite(measured):
        measured, passed = None, False
    else:
        passed = measured <= threshold if comparison == "<=" else measured >= threshold
    return Case(
        name,
        title,
        question,
        measured,
        threshold,
        comparison,
        passed,
        explanation,
        excerpt,
        dict(parts or {}),
    )
