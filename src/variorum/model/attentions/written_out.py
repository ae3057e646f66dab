"""Compute attention, written out: softmax(Q Kᵀ / √D) V (Vaswani et al. 2017, section 3.2.1)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float
) -> Tensor:
    """Mix values (B, H, S, D) for queries, with their shape (B, H, T, D).

    mask: see `attention.Attend`.
    """
    return F.dropout(weights(queries, keys, mask), dropout) @ values


def weights(queries: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
    """Return the weight of each key for each query (B, H, T, S).

    Rows sum to 1; hidden keys have 0.
    """
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(keys.shape[-1])
    if mask is None and queries.shape[2] > 1:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = (
            scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        )
    return scores.softmax(-1)
