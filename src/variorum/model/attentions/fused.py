"""Compute attention by fused kernels, which store no weights (Dao et al. 2022)."""

from torch import Tensor
from torch.nn import functional as F


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float
) -> Tensor:
    """Mix values (B, H, S, D) for queries, with their shape (B, H, T, D).

    mask: see `attention.Attend`.
    """
    return F.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None and queries.shape[2] > 1,
    )
