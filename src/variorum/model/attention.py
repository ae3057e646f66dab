"""Causal self-attention with several heads (Vaswani et al. 2017, section 3.2).

Each token asks (query) all tokens up to itself (keys) and takes the mean of what they offer
(values), weighted by the softmax of query · key / √D. One product makes queries, keys and values of
all heads. How the mixing is computed is a choice among the files in `model/attentions/`, each of
which defines a function `attend`: fused, or written out.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from variorum.base import components
from variorum.config.model_settings import ModelSettings
from variorum.model.position_encoding import PositionEncoding


class KeyValueCache(Protocol):
    """Keys and values of the tokens that a model has read already, and these tokens."""

    length: int  # tokens that it holds for every layer

    def read(self, ids: Tensor) -> Tensor:
        """Note new tokens (B, T) behind `length`; all so far (B, S)."""

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add those of new tokens (B, H, T, D) behind `length`; all so far (B, H, S, D)."""

    def advance(self, n_tokens: int) -> None:
        """Count the new tokens, once every layer has added them."""


class Attend(Protocol):
    """What a file in `model/attentions/` defines."""

    def __call__(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float
    ) -> Tensor:
        """The mixtures (B, H, T, D) of values (B, H, S, D) for queries (B, H, T, D).

        mask: true where a query may look, or what is added to the scaled scores; it broadcasts to
        (B, H, T, S). None: the causal mask, for T = S, or for T = 1, which comes last.
        """


class Attention(nn.Module):
    """Self-attention of the layer with the number `layer`: (B, T, C) to (B, T, C)."""

    def __init__(self, settings: ModelSettings, layer: int) -> None:
        super().__init__()
        width = settings.n_embd
        self.layer, self.n_head = layer, settings.n_head
        own = settings.attention_dropout
        self.dropout = settings.dropout if own is None else own
        self.qk_norm = settings.qk_norm
        self.attend: Attend = components.load("model/attentions", settings.attention).attend
        self.c_attn = nn.Linear(width, 3 * width, bias=settings.bias)
        self.c_proj = nn.Linear(width, width, bias=settings.bias)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of x (B, T, C), each (B, H, T, D), without their positions."""
        split = self.c_attn(x).unflatten(-1, (3, self.n_head, -1))  # (B, T, 3, H, D)
        queries, keys, values = split.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, T, D)
        if self.qk_norm:  # Dehghani et al. 2023, section 2; without a trained scale
            queries, keys = (F.rms_norm(y, y.shape[-1:]) for y in (queries, keys))
        return queries, keys, values

    def forward(
        self,
        x: Tensor,
        positions: PositionEncoding,
        mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Each token's mixture of what itself and the tokens before it offer; see `Attend`."""
        queries, keys, values = self.heads(x)
        queries, keys = positions.rotate(queries, keys, 0 if cache is None else cache.length)
        if cache is not None:
            keys, values = cache.extend(self.layer, keys, values)  # (B, H, S, D)
        dropout = self.dropout if self.training else 0.0
        if x.is_cpu and torch.is_autocast_enabled("cpu"):
            # the backward pass of fused attention is several times slower in bf16
            queries, keys, values = queries.float(), keys.float(), values.float()
            with torch.autocast("cpu", enabled=False):
                mixed = self.attend(queries, keys, values, mask, dropout)
        else:
            mixed = self.attend(queries, keys, values, mask, dropout)  # (B, H, T, D)
        y: Tensor = self.c_proj(mixed.transpose(1, 2).flatten(2))  # (B, T, C)
        return y


def causal_mask(n_queries: int, n_keys: int, device: torch.device) -> Tensor:
    """True where a query may look, (n_queries, n_keys); the queries are the last of the keys."""
    everything = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    return everything.tril(n_keys - n_queries)
