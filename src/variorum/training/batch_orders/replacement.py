"""Draw windows with replacement from anywhere in the text: nanoGPT's choice."""

import numpy as np
from numpy.typing import NDArray

from variorum.training.draws import philox


def starts(
    seed: int, step: int, batch_size: int, n_tokens: int, context_length: int, stride: int
) -> NDArray[np.int64]:
    """Return where the windows of a step begin (batch_size,).

    Taking 64 random bits modulo n favours no window by more than n / 2^64.
    """
    n_windows = n_tokens - context_length
    return (philox(seed, step).random_raw(batch_size) % np.uint64(n_windows)).astype(np.int64)
