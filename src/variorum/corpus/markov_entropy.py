"""Compute the entropy rate of a Markov chain (Shannon 1948, section 7).

It is the mean entropy of the rows of odds, weighted by how often each row is met,

    H = - sum over contexts c of pi(c) * sum over letters x of p(x|c) * log2 p(x|c),

where pi is the stationary distribution: the shares of contexts that one more letter leaves alone.
It exists and is unique if every letter can follow every context.

Uneven odds make loops of contexts that the text leaves once in a million letters, and letter by
letter their shares settle as slowly. So each round has two steps (iterative aggregation and
disaggregation; Stewart, "Introduction to the Numerical Solution of Markov Chains", chapter 6): the
shares of the most frequent contexts, with all others taken as one, are solved exactly; then a
few letters spread them over the others. A small chain is solved by the first step alone.
"""

import numpy as np
import numpy.typing as npt

from variorum.base.errors import VariorumError

_SOLVED = 512  # contexts that are solved at once
_SPREAD = 30  # letters between two solutions
_STILL = 1e-13  # sum of the changes of all shares in a round, at which they have settled
_MOST_ROUNDS = 200

Table = npt.NDArray[np.float64]


def entropy_rate(table: list[list[int]], order: int) -> float:
    """Return the bits per letter of the chain with these odds of order `order`.

    `table`: (C, A) odds, one row for each context. Raises `VariorumError` if the shares of the
    contexts do not settle.
    """
    weights = np.array(table, dtype=np.float64)  # (C, A)
    probability = weights / weights.sum(axis=1, keepdims=True)  # (C, A)
    entropies = -(probability * np.log2(probability)).sum(axis=1)  # (C,)
    return float((_shares(probability) if order else np.ones(1)) @ entropies)


def _shares(probability: Table) -> Table:
    """Return each context's long-run share, which one more letter leaves unchanged.

    probability: (C, A) with C = A**order, contexts in alphabetical order. Returns (C,).
    """
    shares = _spread(np.full(len(probability), 1 / len(probability)), probability)
    for _ in range(_MOST_ROUNDS):
        before = shares
        shares = _spread(_solved(before, probability), probability)
        if np.abs(shares - before).sum() < _STILL:
            return shares
    raise VariorumError(
        "source: the entropy of this language cannot be told, as the shares of its "
        f"{len(shares):,} contexts do not settle; give another seed, or less sharpness."
    )


def _spread(shares: Table, probability: Table) -> Table:
    """Return the shares of the contexts a few letters later."""
    contexts, letters = probability.shape
    for _ in range(_SPREAD):
        joint = shares[:, None] * probability  # (C, A): a context, and the letter after it
        # The oldest letter is forgotten: sum over it.
        shares = joint.reshape(letters, contexts // letters, letters).sum(axis=0).reshape(contexts)
    shares /= shares.sum()
    return shares


def _solved(shares: Table, probability: Table) -> Table:
    """Solve exactly for the heaviest contexts and for the sum of all others."""
    contexts, letters = probability.shape
    groups = min(contexts, _SOLVED)
    group = np.full(contexts, groups - 1)  # (C,): the others are the last one
    group[np.argsort(-shares, kind="stable")[:groups]] = np.arange(groups)
    after = (np.arange(contexts)[:, None] * letters + np.arange(letters)) % contexts  # (C, A)
    ways = (group[:, None] * groups + group[after]).ravel()
    joint = (shares[:, None] * probability).ravel()
    flow = np.bincount(ways, joint, minlength=groups**2).reshape(groups, groups)
    masses = np.bincount(group, shares, minlength=groups)
    factors: Table = _stationary(flow / masses[:, None]) / masses
    exact: Table = shares * factors[group]
    return exact


def _stationary(chain: Table) -> Table:
    """Return the stationary distribution of a chain (G, G), whose odds it overwrites.

    States are eliminated one by one (Grassmann, Taksar and Heyman 1985). Nothing is subtracted, so
    the smallest odds count in full.
    """
    for last in range(len(chain) - 1, 0, -1):
        chain[:last, last] /= chain[last, :last].sum()
        chain[:last, :last] += np.outer(chain[:last, last], chain[last, :last])
    shares = np.ones(len(chain))
    for state in range(1, len(chain)):
        shares[state] = shares[:state] @ chain[:state, state]
    shares /= shares.sum()
    return shares
