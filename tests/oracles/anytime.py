"""The evidence for an effect that may be looked at any time, integrated as it is defined."""

from collections.abc import Sequence

import numpy as np
from scipy import stats


def evidence(values: Sequence[float], center: float, precision: float) -> float:
    """The mixture over effects against none, both over all scales with the density 1 / scale.

    The effect, in scales, is normal around 0 with variance 1 / precision; without it the mean of
    the values is `center`.
    """
    spread = float(np.std(values)) + abs(float(np.mean(values)) - center)
    logs = np.linspace(-8, 12, 801)  # of the scale: d scale / scale is d log scale
    scales = spread * np.exp(logs)[:, None]  # (S, 1)
    effects = np.linspace(-9, 9, 601)[None, :] / precision**0.5  # (1, E)
    with_effect = stats.norm.logpdf(effects, 0, precision**-0.5)  # (1, E)
    without = np.zeros_like(scales)
    for value in values:
        with_effect = with_effect + stats.norm.logpdf(value, center + effects * scales, scales)
        without = without + stats.norm.logpdf(value, center, scales)
    most = without.max()
    inner = np.trapezoid(np.exp(with_effect - most), effects[0], axis=1)  # (S,)
    return float(np.trapezoid(inner, logs) / np.trapezoid(np.exp(without - most)[:, 0], logs))
