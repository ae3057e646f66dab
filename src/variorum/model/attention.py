"""Causal self-attention with several heads (Vaswani et al. 2017, section 3.2).

Each token asks (query) all tokens up to itself (keys) and takes the mean of what they offer
(values), weighted by the softmax of query · key / √D. One product makes queries, keys and values of
all heads; PyTorch's fused attention does the rest without storing the (T, T) weights.
`attention_maps` writes the same out.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from variorum.config import ModelSettings
from variorum.model.position_encoding import PositionEncoding


class KeyValueCache(Protocol):
    """Keys and values of the tokens that a model has read already."""

    length: int  # tokens that it holds for every layer

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add those of new tokens (B, H, T, D) behind `length`; all so far (B, H, S, D)."""

    def advance(self, n_tokens: int) -> None:
        """Count the new tokens, once every layer has added them."""


class Attention(nn.Module):
    """Self-attention of the layer with the number `layer`: (B, T, C) to (B, T, C)."""

    def __init__(self, settings: ModelSettings, layer: int) -> None:
        super().__init__()
        width = settings.n_embd
        self.layer, self.n_head, self.dropout = layer, settings.n_head, settings.dropout
        self.c_attn = nn.Linear(width, 3 * width, bias=settings.bias)
        self.c_proj = nn.Linear(width, width, bias=settings.bias)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of x (B, T, C), each (B, H, T, D), without their positions."""
        split = self.c_attn(x).unflatten(-1, (3, self.n_head, -1))  # (B, T, 3, H, D)
        queries, keys, values = split.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, T, D)
        return queries, keys, values

    def forward(
        self, x: Tensor, positions: PositionEncoding, cache: KeyValueCache | None = None
    ) -> Tensor:
        """Each token's mixture of what itself and the tokens before it offer."""
        queries, keys, values = self.heads(x)
        queries, keys = positions.rotate(queries, keys, 0 if cache is None else cache.length)
        if cache is not None:
            keys, values = cache.extend(self.layer, keys, values)  # (B, H, S, D)
        mask = _mask(queries, keys, positions)
        mixed = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=mask is None and queries.shape[2] > 1,
        )  # (B, H, T, D)
        y: Tensor = self.c_proj(mixed.transpose(1, 2).flatten(2))  # (B, T, C)
        return y


def causal_mask(n_queries: int, n_keys: int, device: torch.device) -> Tensor:
    """True where a query may look, (n_queries, n_keys); the queries are the last of the keys."""
    everything = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    return everything.tril(n_keys - n_queries)


def _mask(queries: Tensor, keys: Tensor, positions: PositionEncoding) -> Tensor | None:
    """What the fused attention is to add to its scores, where its own causal mask won't do."""
    n_queries, n_keys = queries.shape[2], keys.shape[2]
    bias = positions.bias(n_queries, n_keys)  # (H, T, S)
    if bias is None and n_queries in (1, n_keys):
        return None
    seen = causal_mask(n_queries, n_keys, queries.device)  # (T, S)
    return seen if bias is None else bias.masked_fill(~seen, -torch.inf)
