"""Count each token of the vocabulary in a stream, however long the stream is."""

import numpy as np
import numpy.typing as npt

BLOCK = 1 << 22  # tokens counted at once: counting needs eight bytes of memory for each


def token_counts(tokens: npt.NDArray[np.integer], vocab_size: int) -> npt.NDArray[np.int64]:
    """Return the occurrences (V,) of each token id in a stream (N,).

    The stream may be mapped from a file.
    """
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(tokens), BLOCK):
        counts += np.bincount(tokens[start : start + BLOCK], minlength=vocab_size)
    return counts
