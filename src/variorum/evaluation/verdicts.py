"""What a stress case came to: a measurement, a threshold, and a verdict that can be "failed"."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Comparison = Literal["<=", ">="]


@dataclass(frozen=True)
class Case:
    """One case of the stress catalogue, carried out on one model.

    `measured` is None where there was nothing to measure, because the model broke before; such a
    case has not passed, and `explanation` says what happened. `excerpt` is text to look at, made
    legible. `parts` are what the measurement consists of, by name, in words.
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
    """The case with its verdict; a measurement that is not finite counts as none."""
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
