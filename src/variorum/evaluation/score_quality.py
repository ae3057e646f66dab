"""What scores say beyond their sum: how often right, how well it knows, and by how much context."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from variorum.evaluation.bits import Scores

BINS = 10


def accuracy(scores: Scores, among: int) -> float:
    """Share of the tokens that were among the so many likeliest."""
    return float(np.mean(scores.ranks < among))


@dataclass(frozen=True)
class Bin:
    """Tokens whose likeliest guess had about this probability: how many, and how many it got."""

    tokens: int
    confidence: float
    accuracy: float


def reliability(scores: Scores) -> list[Bin]:
    """Bins of equal width from 0 to 1 that hold any token, by the probability of the best guess."""
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
    """Expected calibration error (Guo et al. 2017, section 2): mean distance of the two shares."""
    total = sum(each.tokens for each in bins)
    return sum(each.tokens * abs(each.confidence - each.accuracy) for each in bins) / total


def by_position(nats: NDArray[np.float64], context_length: int) -> list[dict[str, Any]]:
    """Mean nats by how many tokens of context were seen, in ranges that double.

    `nats` were scored in separate blocks: the first of each saw one token, the last a full context.
    What is left at the end, if it is less than half a range, goes to the last.
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
