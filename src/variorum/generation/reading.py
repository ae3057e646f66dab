"""Read texts with a model, and return the logits of what may follow."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from variorum.generation.cache import Cache
from variorum.model.gpt import GPT

Logits = npt.NDArray[np.floating[Any]]
"""In float32, or in float64."""


class LogitReader:
    """Read B texts by the model's own functions, with a cache or without."""

    def __init__(self, model: GPT, cache: Cache | None) -> None:
        self.model, self.cache = model, cache

    def read(self, ids: list[list[int]]) -> Logits:
        """Return logits (B, V) of the token after each row of ids (B, T).

        They continue the tokens in the cache; without one they are the whole windows.
        """
        logits = next_logits(self.model, ids, self.cache).cpu()
        # NumPy has no bf16
        return (logits if logits.dtype == torch.float64 else logits.float()).numpy()

    def keep(self, rows: list[int]) -> None:
        """Continue with these of the texts alone."""
        if self.cache:
            self.cache.keep(rows)

    def clear(self) -> None:
        """Forget everything that was read."""
        if self.cache:
            self.cache.clear()


@torch.inference_mode()
def next_logits(model: GPT, ids: list[list[int]], cache: Cache | None) -> Tensor:
    """Return logits (B, V) of the token after each row of ids (B, T).

    They are where the model is. It is used without dropout, whichever mode it is in.
    """
    training = model.training
    if training:
        model.eval()
    features = model.features(torch.tensor(ids, device=model.wte.weight.device), cache)  # (B, T, C)
    if training:
        model.train()
    return model.head(features[:, -1])
