"""Who looks at whom: the attention weights of every layer and head, for figures.

The model's own attention never forms them. Here they are written out; a test holds that they are
the ones the model uses.
"""

import math

import torch
from torch import Tensor

from variorum.model.attention import Attention, causal_mask
from variorum.model.gpt import GPT
from variorum.model.position_encoding import PositionEncoding


def attention_maps(model: GPT, ids: Tensor) -> Tensor:
    """The weights (n_layer, n_head, T, T) with which a model reads the tokens `ids` (T,).

    Row t of a map says how much token t looks at each token: it sums to 1 and is 0 for the future.
    Dropout is left out.
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return _maps(model, ids)
    finally:
        model.train(training)


def _maps(model: GPT, ids: Tensor) -> Tensor:
    maps = []
    x = model.embed(ids[None])  # (1, T, C)
    for block in model.blocks():
        maps.append(attention_weights(block.attn, block.ln_1(x), model.positions)[0])
        x = block(x, model.positions)
    return torch.stack(maps)  # (n_layer, H, T, T)


def attention_weights(attention: Attention, x: Tensor, positions: PositionEncoding) -> Tensor:
    """The weights (B, H, T, T) of one layer, whose normalized input is x (B, T, C)."""
    queries, keys, _ = attention.heads(x)
    queries, keys = positions.rotate(queries, keys, 0)
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(keys.shape[-1])  # (B, H, T, T)
    bias = positions.bias(x.shape[1], x.shape[1])
    if bias is not None:
        scores = scores + bias
    seen = causal_mask(x.shape[1], x.shape[1], x.device)
    return scores.masked_fill(~seen, -torch.inf).softmax(-1)
