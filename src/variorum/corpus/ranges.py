"""Join ranges of numbers in one array."""

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]


def ranges(begins: Numbers, counts: Numbers) -> Numbers:
    """Return begin, begin + 1, ..., as many as it counts, for each begin."""
    shifts = begins - (np.cumsum(counts) - counts)
    numbers: Numbers = np.arange(counts.sum()) + np.repeat(shifts, counts)
    return numbers
