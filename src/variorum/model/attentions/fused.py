"""Attention by PyTorch's fused kernels, which never store the (T, S) weights (Dao et al. 2022)."""

from torch import Tensor
from torch.nn import functional as F


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float
) -> Tensor:
    """The mixtures (B, H, T, D) of values (B, H, S, D) for queries (B, H, T, D).

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
