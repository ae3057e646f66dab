"""Estimate how far bits per byte would vary over other test texts of its kind.

What a text costs depends on where it is from: documents of one module, author or song cost alike.
So not tokens but whole groups of documents are drawn with replacement, as many as there are (the
cluster bootstrap; Davison and Hinkley 1997, section 3.8). Where there are too few, as in one single
text, blocks of neighbouring tokens are drawn instead, as many as fill the text (moving-block
bootstrap; Künsch 1989, section 2.3), which cannot see parts of the text that are longer than a
block. The interval holds the middle 95 % of the costs of such texts. It does not cover other seeds
of the training.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

LEAST_GROUPS = 10
BLOCK = 256  # tokens
RESAMPLES = 1000
CONFIDENCE = 0.95
SEED = 20090407

Sums = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Hold the ends of an interval, in its measure's unit, and its confidence.

    drawn: what was drawn with replacement; count: how many of these make up a text.
    """

    low: float
    high: float
    drawn: Literal["groups", "blocks"]
    count: int
    confidence: float = CONFIDENCE


def bits_per_byte(
    nats: Sums,
    n_bytes: NDArray[np.int64],
    groups: NDArray[np.int64] | None = None,
    *,
    block: int = BLOCK,
) -> Interval:
    """Return the interval of bits per byte of a text.

    Args:
        nats: the cost of each token (N,).
        n_bytes: bytes of each token (N,); 0 for the end of a document.
        groups: the number, from 0 on, of the group that each token belongs to (N,).
        block: tokens of a block, where groups are not given or fewer than ten; a text of fewer
            than four blocks has shorter ones.
    """
    if groups is not None and groups.max(initial=-1) + 1 >= LEAST_GROUPS:
        costs, lengths = (_sums_of_groups(values, groups) for values in (nats, n_bytes))
        return _interval(costs, lengths, len(costs), "groups")
    block = max(1, min(block, len(nats) // 4))
    costs, lengths = (_sums_of_blocks(values, block) for values in (nats, n_bytes))
    return _interval(costs, lengths, -(-len(nats) // block), "blocks")


def _interval(
    costs: Sums, lengths: Sums, per_text: int, drawn: Literal["groups", "blocks"]
) -> Interval:
    """Return the interval over drawn texts of `per_text` parts.

    `costs` and `lengths` belong to the parts that are drawn from.
    """
    numbers = np.random.Philox(SEED).random_raw(RESAMPLES * per_text) % np.uint64(len(costs))
    places = numbers.astype(np.int64).reshape(RESAMPLES, per_text)
    found = costs[places].sum(1) / np.maximum(1, lengths[places].sum(1)) / math.log(2)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return Interval(float(low), float(high), drawn, per_text)


def _sums_of_groups(values: Sums | NDArray[np.int64], groups: NDArray[np.int64]) -> Sums:
    """Return the sums over all values of a group."""
    sums = np.zeros(groups.max() + 1)
    np.add.at(sums, groups, values)
    return sums


def _sums_of_blocks(values: NDArray[np.float64] | NDArray[np.int64], block: int) -> Sums:
    """Return the sums over every run of `block` neighbours."""
    summed = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    sums: Sums = summed[block:] - summed[:-block]
    return sums
