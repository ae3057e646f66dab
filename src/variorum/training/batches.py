"""Choose the windows of a step's batch, as a pure function of (seed, step).

Nothing is remembered between steps, so any number of workers, and a training that resumes after a
kill, see the same batches. Windows are cut from the stream of all documents, so every token of a
batch comes from the text: nothing is padded. Which windows are taken is a choice among the files in
`training/batch_orders/`, each of which defines a function `starts`.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from variorum.base import components
from variorum.base.errors import VariorumError
from variorum.config.training_settings import TrainingSettings

Tokens = NDArray[np.uint16] | NDArray[np.uint32]

REPLAYED = 2**63
"""Added to the seed of the windows of replayed text: seeds themselves are smaller."""


class Starts(Protocol):
    """Define the function that a file in `training/batch_orders/` provides."""

    def __call__(
        self,
        seed: int,
        step: int,
        batch_size: int,
        n_tokens: int,
        context_length: int,
        stride: int,
    ) -> NDArray[np.int64]:
        """Return where the windows of a step, counted from 1, begin (batch_size,).

        Each holds context_length tokens and the one after them. stride: tokens from one window to
        the next, for orders that count windows.
        """


class Batches:
    """Build the batches of one training."""

    def __init__(
        self,
        tokens: Tokens,
        settings: TrainingSettings,
        seed: int,
        context_length: int,
        *,
        replayed: Tokens | None = None,
        replay: float = 0.0,
    ) -> None:
        """Set the share `replay` of each batch that comes from the tokens `replayed`."""
        self.tokens, self.settings, self.seed = tokens, settings, seed
        self.context_length, self.replayed = context_length, replayed
        self.n_replayed = 0 if replayed is None else round(replay * settings.batch_size)
        order = components.load("training/batch_orders", settings.batches)
        self._order: Starts = order.starts

    def rows(self, step: int, rows: slice) -> tuple[Tensor, Tensor]:
        """Return these rows of a step's batch: inputs and targets, (n_rows, context_length) int64.

        Replayed rows come last.
        """
        count, old = self.settings.batch_size, self.n_replayed
        first = self._starts(self.tokens, self.seed, step, count - old)[rows]
        inputs, targets = windows(self.tokens, first, self.context_length)
        if not old or self.replayed is None:
            return inputs, targets
        begin, end, _ = rows.indices(count)
        place = slice(max(0, begin - (count - old)), max(0, end - (count - old)))
        first = self._starts(self.replayed, self.seed + REPLAYED, step, old)[place]
        more = windows(self.replayed, first, self.context_length)
        return torch.cat([inputs, more[0]]), torch.cat([targets, more[1]])

    def _starts(self, tokens: Tokens, seed: int, step: int, count: int) -> NDArray[np.int64]:
        stride = self.settings.stride or self.context_length
        return self._order(seed, step, count, len(tokens), self.context_length, stride)


def windows(tokens: Tokens, first: NDArray[np.int64], context_length: int) -> tuple[Tensor, Tensor]:
    """Return windows that begin at `first`: inputs and targets (n, context_length).

    Targets are one token further on.
    """
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
