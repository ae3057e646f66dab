"""Batches: which windows of the text a step sees, as a pure function of (seed, step).

Nothing is remembered between steps, so any number of workers, and a training that goes on after a
kill, see the same batches.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from variorum.errors import VariorumError

Tokens = NDArray[np.uint16] | NDArray[np.uint32]


def starts(seed: int, step: int, n_windows: int, batch_size: int) -> NDArray[np.int64]:
    """Where the windows of a step begin, drawn with replacement from 0 .. n_windows - 1.

    Philox (Salmon et al. 2011) is counter-based: its key is (seed, step), and its raw stream is
    part of NumPy's compatibility promise. Taking 64 random bits modulo n favours no window by more
    than n / 2^64.
    """
    stream = np.random.Philox(key=np.array([seed, step], dtype=np.uint64))
    return (stream.random_raw(batch_size) % np.uint64(n_windows)).astype(np.int64)


def batch(
    tokens: Tokens, seed: int, step: int, batch_size: int, context_length: int, rows: slice
) -> tuple[Tensor, Tensor]:
    """The `rows` of a step's batch: inputs and targets, both (n_rows, context_length) int64."""
    first = starts(seed, step, len(tokens) - context_length, batch_size)[rows]
    return windows(tokens, first, context_length)


def windows(tokens: Tokens, first: NDArray[np.int64], context_length: int) -> tuple[Tensor, Tensor]:
    """Windows that begin at `first`: inputs and, one token on, targets (n, context_length)."""
    places = first[:, None] + np.arange(context_length + 1)  # (n, context_length + 1)
    taken = torch.from_numpy(tokens[places].astype(np.int64))
    return taken[:, :-1], taken[:, 1:]


def check_length(tokens: Tokens, context_length: int, what: str) -> None:
    """Raise `VariorumError` if `tokens` do not hold one window and its target."""
    if len(tokens) <= context_length:
        raise VariorumError(
            f"{what} has {len(tokens):,} tokens, which is shorter than one window: set "
            f"model.context_length to at most {max(len(tokens) - 1, 0)} (now {context_length}), "
            "or bring more text"
        )
