"""Add waves of 2π to 10000 · 2π tokens (Vaswani et al. 2017, section 3.5).

They are called sinusoidal positions. The first Transformer scaled its embeddings up to the waves;
here the waves are scaled down to the initial size of embeddings, so that everything else stays as
in GPT-2.
"""

import math

import torch
from torch import Tensor

from variorum.config.model_settings import ModelSettings
from variorum.model.position_encoding import PositionEncoding

LONGEST = 10000.0  # slowest wavelength, over 2π
AMPLITUDE = 0.02 * math.sqrt(2)  # the mean square of a wave is then that of an initial embedding


class Positions(PositionEncoding):
    """Add sines in even channels, and cosines in odd ones, to each token's embedding."""

    waves: Tensor  # (context_length, C)

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        width = settings.n_embd
        channels = torch.arange(0, width, 2, dtype=torch.float64) / width  # (⌈C / 2⌉,)
        places = torch.arange(settings.context_length, dtype=torch.float64)
        angles = torch.outer(places, LONGEST**-channels)  # (context_length, ⌈C / 2⌉)
        pairs = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :width]
        self.register_buffer("waves", (AMPLITUDE * pairs).float(), persistent=False)

    def embed(self, x: Tensor, start: int) -> Tensor:
        """Return token embeddings (B, T, C) plus the waves at their positions."""
        return x + self.waves[start : start + x.shape[1]]
