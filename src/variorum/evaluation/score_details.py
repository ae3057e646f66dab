"""Measure what scores show beyond their sum: accuracy, calibration, and use of context."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from variorum.evaluation.bits import Scores

BINS = 10


def accuracy(scores: Scores, among: int) -> float:
    """Return the share of the tokens that were among the so many likeliest."""
    return float(np.mean(scores.ranks < among))


@dataclass(frozen=True)
class Bin:
    """Count tokens whose best guess had about this probability, and how many were right."""

    tokens: int
    confidence: float
    accuracy: float


def reliability(scores: Scores) -> list[Bin]:
    """Return the non-empty bins of equal width, by the probability of the best guess.

    The bins lie between 0 and 1.
    """
    places = np.minimum((scores.confidences * BINS).astype(np.int64), BINS - 1)
    return [
        Bin(
            int(here.sum()),
            float(scores.confidences[here].mean()),
            float((scores.ranks[here] == 0).mean()),
        )
        for here in (places == number for number in range(BINS))
        if here.any()
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Return the expected calibration error (Guo et al. 2017, section 2).

    It is the mean distance of confidence and accuracy.
    """
    total = sum(each.tokens for each in bins)
    return sum(each.tokens * abs(each.confidence - each.accuracy) for each in bins) / total


def by_position(nats: NDArray[np.float64], context_length: int) -> list[dict[str, Any]]:
    """Return the mean nats by tokens of context seen, in ranges that double.

    `nats` were scored in separate blocks: the first of each saw one token, the last a full context.
    A rest at the end of less than half a range goes to the last range.
    """
    seen = np.arange(len(nats)) % context_length + 1
    rows, low = [], 1
    while low <= context_length:
        high = 2 * low - 1 if 3 * low - 1 <= context_length else context_length
        here = nats[(seen >= low) & (seen <= high)]
        if len(here):
            rows.append({"from": low, "to": high, "nats_per_token": float(here.mean())})
        low = high + 1
    return rows
