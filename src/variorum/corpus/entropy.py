"""The entropy rate of a Markov chain (Shannon 1948, section 7).

It is the mean of the entropies of its rows of odds, weighted by how often each row is met,

    H = - sum over contexts c of pi(c) * sum over letters x of p(x|c) * log2 p(x|c),

where pi is the stationary distribution: the shares of contexts that one more letter leaves alone.
It exists and is unique if every letter can follow every context.
"""

import numpy as np
import numpy.typing as npt

_STILL = 1e-15  # change of a share at which the shares have settled
_MOST_STEPS = 100_000


def entropy_rate(table: list[list[int]], order: int) -> float:
    """Bits per letter of the chain with these odds, which look `order` letters back."""
    weights = np.array(table, dtype=np.float64)  # (C, A)
    probability = weights / weights.sum(axis=1, keepdims=True)  # (C, A)
    entropies = -(probability * np.log2(probability)).sum(axis=1)  # (C,)
    return float(_shares(probability, order) @ entropies)


def _shares(probability: npt.NDArray[np.float64], order: int) -> npt.NDArray[np.float64]:
    """How often each context is met in the long run: what one more letter does not change.

    probability: (C, A) with C = A**order, contexts in alphabetical order. Gives (C,).
    """
    contexts, letters = probability.shape
    shares = np.full(contexts, 1 / contexts)
    if not order:
        return shares
    for _ in range(_MOST_STEPS):
        joint = shares[:, None] * probability  # (C, A): a context, and the letter after it
        # The oldest letter is forgotten: sum over it.
        after = joint.reshape(letters, contexts // letters, letters).sum(axis=0).reshape(contexts)
        after /= after.sum()
        change = np.abs(after - shares).max()
        shares = after
        if change < _STILL:
            break
    return shares
