"""Compute the attention weights of every layer and head, for figures."""

import torch
from torch import Tensor

from variorum.model.gpt import GPT


def attention_maps(model: GPT, ids: Tensor) -> Tensor:
    """Return the weights (n_layer, n_head, T, T) with which a model reads ids (T,).

    Row t of a map holds token t's weight for each token: it sums to 1 and is 0 for the future.
    Dropout is left out.
    """
    found = model.trace(ids[None])
    layers = range(model.settings.n_layer)
    return torch.stack([found[f"h.{layer}.attn.weights"][0] for layer in layers])
