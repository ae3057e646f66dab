"""Rotate queries and keys by their positions (Su et al. 2021, RoFormer, section 3.2).

Channels are taken in neighbouring pairs. At position p, pair i is turned by the angle
p · base^(-2i/D), so a score depends on the distance between its query and its key alone. Turning a
pair is a multiplication of complex numbers, the fastest of the usual forms on a CPU.
"""

import torch
from torch import Tensor

from variorum.config.model_settings import ModelSettings
from variorum.model.position_encoding import PositionEncoding


class Positions(PositionEncoding):
    """Turn the queries and keys of every layer, without parameters."""

    turns: Tensor  # (context_length, D / 2), complex, of length 1

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        size = settings.n_embd // settings.n_head
        pairs = torch.arange(0, size, 2, dtype=torch.float64) / size  # (D / 2,)
        places = torch.arange(settings.context_length, dtype=torch.float64)  # (context_length,)
        angles = torch.outer(places, settings.rotary_base**-pairs)
        turns = torch.polar(torch.ones_like(angles), angles).to(torch.complex64)
        self.register_buffer("turns", turns, persistent=False)

    def rotate(self, queries: Tensor, keys: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Return queries and keys (B, H, T, D), turned by their positions."""
        turns = self.turns[start : start + queries.shape[2]]  # (T, D / 2)
        return _turned(queries, turns), _turned(keys, turns)


def _turned(x: Tensor, turns: Tensor) -> Tensor:
    halves = x.float().reshape(*x.shape[:-1], -1, 2)  # there are no complex numbers of bf16
    pairs = torch.view_as_complex(halves)  # (B, H, T, D / 2)
    return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)  # (B, H, T, D)
