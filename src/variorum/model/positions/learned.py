"""Learn one vector for each position (Radford et al. 2018, section 3.1)."""

import torch
from torch import Tensor, nn

from variorum.config.model_settings import ModelSettings
from variorum.model.position_encoding import PositionEncoding


class Positions(PositionEncoding):
    """Add a row of a table (context_length, n_embd) to each token's embedding."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self.wpe = nn.Embedding(settings.context_length, settings.n_embd)

    def embed(self, x: Tensor, start: int) -> Tensor:
        """Return token embeddings (B, T, C) plus the vectors of their positions."""
        rows: Tensor = self.wpe.weight[start : start + x.shape[1]]  # (T, C)
        return torch.add(x, rows)
