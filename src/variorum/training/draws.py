"""Draw random numbers as a pure function of (seed, number of the draw)."""

import numpy as np


def philox(seed: int, number: int) -> np.random.Philox:
    """Return a generator of raw 64-bit numbers for one step, or one epoch.

    Philox (Salmon et al. 2011) is counter-based: its key is (seed, number), and its raw stream is
    part of NumPy's compatibility promise.
    """
    return np.random.Philox(key=np.array([seed, number], dtype=np.uint64))
