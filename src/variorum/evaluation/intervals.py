"""Estimate how far bits per byte would vary over other test texts of its kind.

A text is taken as a draw of its parts: whole groups of documents, or blocks of one single text
(`evaluation.parts`).

Bits per byte are a ratio of two sums over parts. Its standard error comes from leaving out each
part once (the jackknife; Efron and Tibshirani 1993, chapter 11), and the interval is Student's.
Uneven parts say less than as many even ones, so its degrees of freedom are one less than the
effective number of parts, (sum b)² / (sum b²) for parts of b bytes (Kish 1965). In simulations
it covers the truth in 94 to 96 % of draws of 10, 20 and 40 parts, even and uneven; percentiles of
resampled texts cover 86 to 93 %. It does not cover other seeds of the training.

Two who predict the same text are compared by the costs' differences, part by part: what makes a
part hard for both of them cancels.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from variorum.evaluation.parts import Bits, Drawn

CONFIDENCE = 0.95

Bytes = NDArray[np.floating | np.integer]


@dataclass(frozen=True)
class Interval:
    """Hold a measure and the ends of its interval, in the measure's unit.

    drawn: what a text is a draw of. count: how many of these it has. effective: as how many even
    ones they count.
    """

    value: float
    low: float
    high: float
    drawn: Drawn
    count: int
    effective: float
    confidence: float


def of_parts(
    bits: Bits, n_bytes: Bytes, drawn: Drawn, confidence: float = CONFIDENCE
) -> Interval | None:
    """Return the interval of bits per byte.

    Given are the bits and the bytes of each part (G,). None where a single part has bytes, which
    tells nothing of others.
    """
    effective = float(n_bytes.sum() ** 2 / max(1, np.square(n_bytes.astype(float)).sum()))
    if effective - 1 < 1e-9:
        return None
    value = float(bits.sum() / n_bytes.sum())
    reach = float(stats.t.ppf((1 + confidence) / 2, effective - 1) * standard_error(bits, n_bytes))
    return Interval(value, value - reach, value + reach, drawn, len(bits), effective, confidence)


def as_data(
    bits: Bits, n_bytes: Bytes, drawn: Drawn, confidence: float = CONFIDENCE
) -> dict[str, Any] | None:
    """Return the interval that `of_parts` returns, as data for a file of JSON."""
    found = of_parts(bits, n_bytes, drawn, confidence)
    return asdict(found) if found else None


def standard_error(bits: Bits, n_bytes: Bytes) -> Bits:
    """Return the jackknife's standard error of the ratio of both sums.

    The last axis of both is that of the parts (..., G).
    """
    left_bits = bits.sum(-1, keepdims=True) - bits
    left_bytes = n_bytes.sum(-1, keepdims=True) - n_bytes
    ratios = left_bits / left_bytes
    count = bits.shape[-1]
    spread = np.square(ratios - ratios.mean(-1, keepdims=True)).sum(-1)
    error: Bits = np.sqrt((count - 1) / count * spread)
    return error
