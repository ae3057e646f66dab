"""Compute the loss on separate windows of the val part, shared among ranks."""

import math

import numpy as np
import torch
from torch import Tensor

from variorum.model.gpt import GPT
from variorum.model.logit_memory import windows_at_once
from variorum.training import batches
from variorum.training.batches import Tokens
from variorum.training.team import Place, Team

MOST_ROWS = 16  # windows in one forward pass


class Validation:
    """Hold the validation windows of each reading: at most `most_tokens` in all."""

    def __init__(
        self, model: GPT, val: Tokens, most_tokens: int, device: str, place: Place
    ) -> None:
        self._model, self._val, self._device = model, val, device
        self._length = model.settings.context_length
        end = min(len(val) - 1, max(most_tokens, self._length))
        self._starts = np.arange(0, end - self._length + 1, self._length)
        self._rows = windows_at_once(model, MOST_ROWS)
        n_passes = -(-len(self._starts) // self._rows)
        self._sums = place(torch.zeros(n_passes, dtype=torch.float64))

    def run(self, team: Team) -> None:
        """Compute this rank's share of the forward passes; all ranks are done at the end."""
        self._model.eval()
        with torch.inference_mode():
            for index in team.share_of(len(self._sums)):
                begin = index * self._rows
                inputs, targets = self._windows(slice(begin, begin + self._rows))
                mean = self._model.loss(inputs, targets).item()
                self._sums[index] = mean * targets.numel()
        team.barrier()

    @property
    def loss(self) -> float:
        """Return the mean loss in nats a token, once every rank has run."""
        return math.fsum(self._sums.tolist()) / (len(self._starts) * self._length)

    def first_window(self) -> Tensor:
        """Return the first validation window (1, T)."""
        return self._windows(slice(1))[0]

    def _windows(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Return inputs and targets (n, T), on the model's device."""
        inputs, targets = batches.windows(self._val, self._starts[rows], self._length)
        return inputs.to(self._device), targets.to(self._device)
