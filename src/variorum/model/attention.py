"""Compute causal self-attention with several heads (Vaswani et al. 2017, section 3.2).

Each token asks (query) all tokens up to itself (keys) and takes the mean of what they offer
(values), weighted by the softmax of query · key / √D. One product makes queries, keys and values of
all heads. How the values are mixed is a choice among the files in `model/attentions/`, each of
which defines a function `attend`: fused, or written out.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from variorum.base import components
from variorum.config.model_settings import ModelSettings
from variorum.model.position_encoding import PositionEncoding
from variorum.model.rms_norm import rms_norm
from variorum.model.stacked import Stacked

QK_EPSILON = torch.finfo(torch.float32).eps


class KeyValueCache(Protocol):
    """Hold keys and values of the tokens that a model has read, and their ids."""

    length: int  # tokens that it holds for every layer

    def read(self, ids: Tensor) -> Tensor:
        """Append new tokens (B, T) behind `length`; return all so far (B, S)."""

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values (B, H, T, D) of one layer; return all so far.

        The new ones go behind `length`; both results are (B, H, S, D).
        """

    def advance(self, n_tokens: int) -> None:
        """Count the new tokens, once every layer has appended them."""


class Attend(Protocol):
    """Define the function that a file in `model/attentions/` provides."""

    def __call__(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float
    ) -> Tensor:
        """Mix values (B, H, S, D) for queries, with their shape (B, H, T, D).

        mask: true where a query may look, or an addend of the scaled scores; it broadcasts to
        (B, H, T, S). None: the causal mask, for T = S, or for T = 1, which comes last.
        """


class Attention(nn.Module):
    """Apply the self-attention of layer number `layer`: (B, T, C) to (B, T, C)."""

    def __init__(self, settings: ModelSettings, layer: int) -> None:
        super().__init__()
        width = settings.n_embd
        self.layer, self.n_head = layer, settings.n_head
        own = settings.attention_dropout
        self.dropout = settings.dropout if own is None else own
        self.qk_norm = settings.qk_norm
        self.attend: Attend = components.load("model/attentions", settings.attention).attend
        self.c_attn = Stacked(width, width, 3, bias=settings.bias)
        self.c_proj = nn.Linear(width, width, bias=settings.bias)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return unrotated queries, keys and values of x (B, T, C): (B, H, T, D)."""
        split = self.c_attn(x).unflatten(-1, (3, self.n_head, -1))  # (B, T, 3, H, D)
        if not self.qk_norm:
            queries, keys, values = split.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, T, D)
            return queries, keys, values
        # Dehghani et al. 2023, section 2; without a trained scale
        queries, keys = rms_norm(split[:, :, :2], QK_EPSILON).permute(2, 0, 3, 1, 4).unbind(0)
        return queries, keys, split[:, :, 2].transpose(1, 2)

    def forward(
        self,
        x: Tensor,
        positions: PositionEncoding,
        mask: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """Mix the values of each token and the tokens before it.

        x: (B, T, C), as is the result. mask: see `Attend`.
        """
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
    """Return a mask (n_queries, n_keys), true where a query may look.

    The queries are the last of the keys.
    """
    everything = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    return everything.tril(n_keys - n_queries)
