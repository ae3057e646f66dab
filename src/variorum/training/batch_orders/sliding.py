"""Read windows one after the other, `stride` tokens apart, around the text repeatedly."""

import numpy as np
from numpy.typing import NDArray


def starts(
    seed: int, step: int, batch_size: int, n_tokens: int, context_length: int, stride: int
) -> NDArray[np.int64]:
    """Return where the windows of a step begin (batch_size,); the seed does not matter."""
    n_windows = (n_tokens - context_length - 1) // stride + 1
    first = (step - 1) * batch_size
    return (first + np.arange(batch_size)) % n_windows * stride
