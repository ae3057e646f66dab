"""Estimate means over independent units, with Student's t.

A unit is a text with a seed of its own, or the text of one group (a module, an author, a song):
something that could have come out otherwise, independently of the others. The values of one unit
are averaged first, so that a long group counts as much as a short one, and the number of units is
the number of observations. Differences between two sets of units are Welch's; differences within
units are taken before they come here.

Student (1908), "The probable error of a mean". Welch (1947), "The generalization of Student's
problem when several different population variances are involved".
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from variorum.evaluation.intervals import CONFIDENCE
from variorum.evaluation.parts import LEAST_GROUPS

STRETCHES = 24

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MeanEstimate:
    """Hold a mean over independent units and its interval.

    units: how many units; of a difference, of the smaller side.
    """

    mean: float
    low: float
    high: float
    units: int


def mean_of(values: Values) -> MeanEstimate | None:
    """Return the mean of units (U,) with its interval.

    None: fewer than two units, or a value that is not finite, leave nothing to say.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    variance = float(values.var(ddof=1)) / len(values)
    return _around(float(values.mean()), variance, len(values) - 1.0, len(values))


def difference_of(values: Values, others: Values) -> MeanEstimate | None:
    """Return the difference of the means of two independent sets of units (U,) and (W,).

    None: as in `mean_of`.
    """
    sides = (values, others)
    if any(mean_of(side) is None for side in sides):
        return None
    parts = [float(side.var(ddof=1)) / len(side) for side in sides]
    freedom = sum(p**2 / (len(s) - 1) for p, s in zip(parts, sides, strict=True))
    degrees = sum(parts) ** 2 / freedom if freedom else 1.0
    mean = float(values.mean() - others.mean())
    return _around(mean, sum(parts), degrees, min(map(len, sides)))


def ratio_of(values: Values, others: Values) -> MeanEstimate | None:
    """Return the mean of `values` over the mean of `others`, of the same units (U,).

    The interval is that of the linearized ratio (Cochran 1977, "Sampling Techniques", section
    2.11), which holds where the mean of `others` is far from zero.

    None: as in `mean_of`, or a mean of `others` that may be zero or less.
    """
    below = mean_of(others)
    if mean_of(values) is None or below is None or below.low <= 0:
        return None
    ratio = float(values.mean()) / below.mean
    spread = mean_of((values - ratio * others) / below.mean)
    if spread is None:
        return None
    return MeanEstimate(ratio, ratio + spread.low, ratio + spread.high, len(values))


def units_of(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return the unit of each piece of a text, by the pieces' groups (P,).

    A unit is a group. Of fewer than ten groups, stretches of neighbouring pieces are the units.
    """
    names, numbers = np.unique(labels, return_inverse=True)
    if len(names) >= LEAST_GROUPS:
        return np.asarray(numbers, dtype=np.int64)
    parts = min(len(labels), STRETCHES)
    return (np.arange(len(labels)) * parts // max(1, len(labels))).astype(np.int64)


def spread(units: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """Choose at most so many pieces, evenly over their units (P,).

    Returns the numbers of the chosen pieces in order.
    """
    ranks = np.empty(len(units), dtype=np.int64)
    for unit in np.unique(units):
        of_unit = np.flatnonzero(units == unit)
        ranks[of_unit] = np.arange(len(of_unit))
    order = np.lexsort((units, ranks))  # the first of each unit, the second of each, ...
    n_units = int((ranks == 0).sum())
    if n_units > most:
        order = order[np.linspace(0, n_units - 1, most).astype(np.int64)]
    return np.sort(order[:most])


def means_by(units: npt.NDArray[np.int64], values: Values) -> Values:
    """Return the mean of the values (P,) of each unit, by the units' numbers (P,)."""
    return np.array([values[units == unit].mean() for unit in np.unique(units)])


def halves_by(units: npt.NDArray[np.int64], values: Values) -> Values:
    """Return how far two halves of each unit lie apart.

    A half is every other one of the values (P,). A unit with one value alone is left out.
    """
    own = [values[units == unit] for unit in np.unique(units)]
    return np.array([each[::2].mean() - each[1::2].mean() for each in own if len(each) > 1])


def _around(mean: float, variance: float, degrees: float, units: int) -> MeanEstimate:
    half = float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * variance**0.5
    return MeanEstimate(mean, mean - half, mean + half, units)
