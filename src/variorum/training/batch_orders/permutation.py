"""Read every window once an epoch, `stride` tokens apart, shuffled anew each epoch.

The order is never stored: a block cipher with the seed and the epoch as its key permutes the
numbers of the windows (Black and Rogaway 2002, section 5), so the windows of a step cost the same
whatever the length of the text.
"""

import numpy as np
from numpy.typing import NDArray

from variorum.training.draws import philox

ROUNDS = 6


def starts(
    seed: int, step: int, batch_size: int, n_tokens: int, context_length: int, stride: int
) -> NDArray[np.int64]:
    """Return where the windows of a step begin (batch_size,)."""
    n_windows = (n_tokens - context_length - 1) // stride + 1
    places = (step - 1) * batch_size + np.arange(batch_size)
    epochs, numbers = np.divmod(places, n_windows)
    found = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        found[chosen] = permuted(numbers[chosen], n_windows, seed, int(epoch))
    return found * stride


def permuted(numbers: NDArray[np.int64], size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Map these numbers by a permutation of 0 .. size - 1.

    A Feistel network permutes the next power of 4; numbers beyond `size` are sent through it again.
    """
    half = max(1, (int(size - 1).bit_length() + 1) // 2)
    keys = philox(seed, epoch).random_raw(ROUNDS)
    result = numbers.astype(np.uint64)
    outside = np.ones(len(result), dtype=bool)
    while outside.any():
        result[outside] = _feistel(result[outside], half, keys)
        outside = result >= size
    return result.astype(np.int64)


def _feistel(
    numbers: NDArray[np.uint64], half: int, keys: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    bits, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = numbers >> bits, numbers & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right + key) & mask)
    return (left << bits) | right


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter 64 bits (SplitMix64's finalizer, Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
