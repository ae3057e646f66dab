"""Estimate how far bits per byte would vary over other test texts of its kind.

What a text costs depends on where it is from: documents of one module, author or song cost alike.
So a text is taken as a draw of whole groups of documents. Where there are too few, as in one single
text, blocks of neighbouring tokens take their place, which cannot see parts of a text that are
longer than a block.

Bits per byte are a ratio of two sums over groups. Its standard error comes from leaving out each
group once (the jackknife; Efron and Tibshirani 1993, chapter 11), and the interval is Student's.
Uneven groups say less than as many even ones, so its degrees of freedom are one less than the
effective number of groups, (sum b)² / (sum b²) for groups of b bytes (Kish 1965). In simulations
it covers the truth in 94 to 96 % of draws of 10, 20 and 40 groups, even and uneven; percentiles of
resampled texts cover 86 to 93 %. It does not cover other seeds of the training.

Two models that score the same text are compared by the costs' differences, group by group: what
makes a group hard for both of them cancels.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEAST_GROUPS = 10
BLOCK = 256  # tokens
CONFIDENCE = 0.95

Sums = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """Hold a measure and the ends of its interval, in the measure's unit.

    drawn: what a text is a draw of. count: how many of these it has. effective: as how many even
    ones they count.
    """

    value: float
    low: float
    high: float
    drawn: Literal["groups", "blocks"]
    count: int
    effective: float
    confidence: float = CONFIDENCE


def of_tokens(nats: Sums, n_bytes: Counts, groups: Counts) -> Interval | None:
    """Return the interval of a text's bits per byte; None of a text of one part.

    Args:
        nats: the cost of each token (N,), or the difference of two models' costs.
        n_bytes: bytes of each token (N,); 0 for the end of a document.
        groups: the number, from 0 on, of the group that each token belongs to (N,).
    """
    drawn: Literal["groups", "blocks"] = "groups"
    if groups.max(initial=-1) + 1 < LEAST_GROUPS:
        drawn, count = "blocks", min(len(nats), max(LEAST_GROUPS, len(nats) // BLOCK))
        groups = np.arange(len(nats)) * count // len(nats)
    bits = np.bincount(groups, nats) / math.log(2)
    return of_parts(bits, np.bincount(groups, n_bytes), drawn)


def of_parts(
    bits: Sums, n_bytes: NDArray[np.floating | np.integer], drawn: Literal["groups", "blocks"]
) -> Interval | None:
    """Return the interval of bits per byte, given the bits and the bytes of each part (G,).

    None where a single part has bytes, which tells nothing of others.
    """
    effective = float(n_bytes.sum() ** 2 / max(1, np.square(n_bytes.astype(float)).sum()))
    if effective - 1 < 1e-9:
        return None
    value = float(bits.sum() / n_bytes.sum())
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, effective - 1) * standard_error(bits, n_bytes))
    return Interval(value, value - reach, value + reach, drawn, len(bits), effective)


def standard_error(bits: Sums, n_bytes: NDArray[np.floating | np.integer]) -> Sums:
    """Return the jackknife's standard error of the ratio of both sums, over the last axis (G)."""
    left_bits = bits.sum(-1, keepdims=True) - bits
    left_bytes = n_bytes.sum(-1, keepdims=True) - n_bytes
    ratios = left_bits / left_bytes
    count = bits.shape[-1]
    spread = np.square(ratios - ratios.mean(-1, keepdims=True)).sum(-1)
    error: Sums = np.sqrt((count - 1) / count * spread)
    return error
