"""Define a position encoding: the contract of the files in `model/positions/`.

Attention alone does not know the order of its tokens (Vaswani et al. 2017, section 3.5). A position
encoding adds it at one or more of three places: in the embeddings, in the queries and keys, or in
the attention scores. Each file in `model/positions/` defines one class `Positions`, a subclass of
`PositionEncoding` that overrides what it needs; the file's name is the setting's value. So
`model/positions/my_positions.py` is all it takes to try `positions: my_positions`.
"""

import torch
from torch import Tensor, nn

from variorum.config.model_settings import ModelSettings


class PositionEncoding(nn.Module):
    """Encode no positions; subclasses override what they need.

    T new tokens have the positions `start` to `start + T - 1` of the window; `start` is above 0
    when a model writes token by token and the earlier keys are cached.
    """

    kind = "Positions"

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()

    def init_weights(self, draw: torch.Generator) -> None:
        """Set all parameters, if there are any: here from N(0, 0.02), as GPT-2's weights."""
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.02, generator=draw)

    def embed(self, x: Tensor, start: int) -> Tensor:
        """Return token embeddings (B, T, C) with their positions, in the same shape."""
        return x

    def rotate(self, queries: Tensor, keys: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Return one layer's queries and keys (B, H, T, D) with positions, in these shapes."""
        return queries, keys

    def bias(self, n_queries: int, n_keys: int) -> Tensor | None:
        """Return an addend (H, n_queries, n_keys) of one layer's scaled scores, or None.

        The queries are the last `n_queries` of the `n_keys` positions. The encoding does not hide
        the future.
        """
        return None
