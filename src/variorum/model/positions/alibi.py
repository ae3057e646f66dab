"""Lower scores with distance, as ALiBi does (Press et al. 2022, section 3)."""

import math

import torch
from torch import Tensor

from variorum.config.model_settings import ModelSettings
from variorum.model.position_encoding import PositionEncoding


class Positions(PositionEncoding):
    """Subtract from each score the distance times a slope of the head, without parameters."""

    slopes: Tensor  # (H,)

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self.register_buffer("slopes", slopes(settings.n_head), persistent=False)

    def bias(self, n_queries: int, n_keys: int) -> Tensor:
        """Return minus slope times distance (H, n_queries, n_keys)."""
        places = torch.arange(n_keys, device=self.slopes.device)
        distances = places[n_keys - n_queries :, None] - places  # (n_queries, n_keys)
        return -self.slopes[:, None, None] * distances


def slopes(n_head: int) -> Tensor:
    """Return each head's slope (H,): a geometric sequence from 2^(-8/H) on.

    Where H is no power of two, the heads beyond the largest power take every other slope of twice
    as many.
    """
    whole = 2 ** math.floor(math.log2(n_head))
    first = [2 ** (-8 * (i + 1) / whole) for i in range(whole)]
    more = [2 ** (-8 * (2 * i + 1) / (2 * whole)) for i in range(n_head - whole)]
    return torch.tensor(first + more)
