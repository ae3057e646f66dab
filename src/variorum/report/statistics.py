"""Estimate what a few seeds show: means, spreads, intervals, paired differences.

Runs of one seed share their initial numbers and their batches, so two variants are compared seed by
seed. Where much of a run's scatter comes from this shared part, as where both fine-tune one model,
the differences of pairs spread far less than the two means; where little does, pairs cost some
degrees of freedom and are as right. Intervals are Student's t, two-sided; with five seeds and
near-normal scatter they are honest, and with two they are as wide as they ought to be. Where
several variants are compared with one baseline, each interval is widened so that all of them hold
together (Bonferroni): among twenty useless ideas, one would otherwise look good.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev

from scipy import optimize, stats

CONFIDENCE = 0.95
POWER = 0.8


@dataclass(frozen=True)
class IntervalEstimate:
    """Hold a mean of `n` values, their sample standard deviation, and its interval.

    The interval is the mean's. With one value there is neither spread nor interval: they are None.
    """

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None

    @property
    def shows_difference(self) -> bool:
        """Return whether, as an estimate of a difference, its interval leaves out zero."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def estimate(values: Sequence[float], confidence: float = CONFIDENCE) -> IntervalEstimate:
    """Return mean, sample standard deviation (n - 1) and t interval of the mean.

    Raises:
        ValueError: if there are no values, or one is not finite.
    """
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"an estimate needs finite values, not {list(values)}")
    mean = fmean(values)
    if len(values) == 1:
        return IntervalEstimate(1, mean, None, None, None)
    sd = stdev(values)
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * sd / math.sqrt(len(values))
    return IntervalEstimate(len(values), mean, sd, mean - half, mean + half)


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float], confidence: float = CONFIDENCE
) -> IntervalEstimate | None:
    """Return mean and interval of value minus baseline, over the seeds of both.

    None if they share no seed.

    Args:
        values: result by seed.
        baseline: the baseline's result by seed.
        confidence: of the interval, in (0, 1).
    """
    seeds = sorted(values.keys() & baseline.keys())
    if not seeds:
        return None
    return estimate([values[seed] - baseline[seed] for seed in seeds], confidence)


def simultaneous(comparisons: int, confidence: float = CONFIDENCE) -> float:
    """Return the confidence each interval needs for all of them to hold together."""
    return 1 - (1 - confidence) / max(1, comparisons)


def detectable(
    found: IntervalEstimate, confidence: float = CONFIDENCE, power: float = POWER
) -> float | None:
    """Return the smallest true difference that such pairs show with probability `power`.

    A test of size 1 - confidence finds a difference δ by the noncentral t distribution, whose
    noncentrality is δ √n / sd (Cohen 1988, section 2.3). None where there is no spread.
    """
    if not found.sd:
        return None
    return _shift(found.n, confidence, power) * found.sd / math.sqrt(found.n)


@cache
def _shift(n: int, confidence: float, power: float) -> float:
    """Return the noncentrality at which a test of n pairs has this power."""
    degrees = n - 1
    edge = float(stats.t.ppf((1 + confidence) / 2, degrees))
    spreads = stats.chi(degrees, scale=1 / math.sqrt(degrees))

    def lacking(shift: float) -> float:
        """Return the power that the test lacks, by the definition of noncentral t.

        scipy's own noncentral t has holes.
        """

        def beyond(spread: float) -> float:
            reach = edge * spread
            return float(stats.norm.sf(reach - shift) + stats.norm.cdf(-reach - shift))

        return power - float(spreads.expect(beyond))

    most = 1.0
    while lacking(most) > 0:
        most *= 2
    return float(optimize.brentq(lacking, 0.0, most))
