"""Judge what a model has learned by claims, which controls without learning must not meet.

A case measures the model, a freshly initialised one ("random"), one whose trained weights were
shuffled ("shuffled") and, where it can be measured on text, human text. A claim names an interval
and where it must lie. A case passes if the model meets every claim and each control fails at least
one: a case that the controls pass as well has told nothing of the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from variorum.evaluation.intervals import CONFIDENCE
from variorum.evaluation.stress.behaviour.estimates import MeanEstimate

MODEL, RANDOM, SHUFFLED, HUMAN = "model", "random", "shuffled", "human text"
CONTROLS = (RANDOM, SHUFFLED)
WRITERS = (MODEL, *CONTROLS)

Found = Mapping[str, MeanEstimate | None]
"""By who was measured: the model, a control, human text. None: it could not be measured."""


@dataclass(frozen=True)
class Measurement:
    """Hold one measure of all that were measured."""

    name: str
    found: Found


@dataclass(frozen=True)
class BehaviourClaim:
    """Hold what a model should meet: an interval above `least` and below `most`.

    found, holds: by the model and the controls.
    """

    name: str
    least: float | None
    most: float | None
    found: Found
    holds: Mapping[str, bool]


@dataclass(frozen=True)
class Behaviour:
    """Report one case on behaviour, carried out on one model, beside its controls.

    unit: of the values in `rows`. shown: the row that stands for the case. confidence: of every
    interval. drawn: the SHA-256 of the tokens that were drawn, "" where none were. excerpt: text to
    read, made legible. controls: whether each of them met every claim.
    """

    name: str
    title: str
    question: str
    unit: str
    shown: Measurement
    rows: Sequence[Measurement]
    claims: Sequence[BehaviourClaim]
    passed: bool
    explanation: str
    excerpt: str = ""
    drawn: str = ""
    controls: Mapping[str, bool] = field(default_factory=dict)
    confidence: float = CONFIDENCE


def claim(
    name: str, found: Found, *, least: float | None = None, most: float | None = None
) -> BehaviourClaim:
    """Return the claim that each interval lies above `least` and below `most`."""
    holds = {who: _holds(own, least, most) for who, own in found.items()}
    return BehaviourClaim(name, least, most, dict(found), holds)


def _holds(found: MeanEstimate | None, least: float | None, most: float | None) -> bool:
    if found is None:
        return False
    return (least is None or found.low > least) and (most is None or found.high < most)


def outcome(
    name: str,
    title: str,
    question: str,
    *,
    unit: str,
    shown: Measurement,
    rows: Sequence[Measurement],
    claims: Sequence[BehaviourClaim],
    explanation: str,
    excerpt: str = "",
    drawn: str = "",
) -> Behaviour:
    """Return the case with its verdict; `controls` says which of them met every claim."""
    met = {who: all(each.holds[who] for each in claims) for who in WRITERS}
    like = [who for who in CONTROLS if met[who]]
    if like:
        explanation += f" The {' and the '.join(like)} model met every claim too: it tells nothing."
    return Behaviour(
        name,
        title,
        question,
        unit,
        shown,
        list(rows),
        list(claims),
        met[MODEL] and not like,
        explanation,
        excerpt,
        drawn,
        {who: met[who] for who in CONTROLS},
    )
