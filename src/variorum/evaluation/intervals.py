"""How far bits per byte could lie elsewhere, had the test text been another of its kind.

Moving-block bootstrap (Künsch 1989, section 2.3): neighbouring tokens cost alike, so not tokens but
blocks of neighbours are drawn with replacement, as many as fill the text. The interval holds the
middle 95 % of what such texts cost. It says nothing of other seeds of the training.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 256  # tokens
RESAMPLES = 1000
CONFIDENCE = 0.95
SEED = 20090407


@dataclass(frozen=True)
class Interval:
    """Ends of an interval in the unit of what it is about, and how sure it is."""

    low: float
    high: float
    confidence: float = CONFIDENCE


def bits_per_byte(
    nats: NDArray[np.float64], n_bytes: NDArray[np.int64], block: int = BLOCK
) -> Interval:
    """The interval of bits per byte of a text.

    Args:
        nats: the cost of each token (N,).
        n_bytes: bytes of each token (N,); 0 for the end of a document.
        block: tokens of a block; a text of fewer than four blocks has shorter ones.
    """
    block = max(1, min(block, len(nats) // 4))
    costs, lengths = (_sums_of_blocks(values, block) for values in (nats, n_bytes))
    per_text = -(-len(nats) // block)
    drawn = np.random.Philox(SEED).random_raw(RESAMPLES * per_text) % np.uint64(len(costs))
    places = drawn.astype(np.int64).reshape(RESAMPLES, per_text)
    found = costs[places].sum(1) / np.maximum(1, lengths[places].sum(1)) / math.log(2)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _sums_of_blocks(
    values: NDArray[np.float64] | NDArray[np.int64], block: int
) -> NDArray[np.float64]:
    """Sums over every run of `block` neighbours."""
    summed = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    sums: NDArray[np.float64] = summed[block:] - summed[:-block]
    return sums
