"""Compute the output layer's mean cross entropy with its gradient.

The logits of a whole batch are the largest tensor of a small model, and what follows them (softmax,
the choice of the targets, the gradient) reads it again and again from memory. Here some rows are
taken at a time, and all is done with them while they are in the processor's cache: their gradient
with respect to the logits is softmax - target (Bridle 1990), so it needs nothing from later layers.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

ROWS = 192
"""Tokens whose logits are computed at once."""


def mean_cross_entropy(features: Tensor, weights: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of -log softmax(features · weightsᵀ) at the targets, in nats.

    features: (N, C), weights: (V, C), targets: (N,) token ids.
    """
    if features.is_cpu and torch.is_grad_enabled() and not torch.compiler.is_compiling():
        loss: Tensor = _WithGradient.apply(features, weights, targets)  # type: ignore[no-untyped-call]
        return loss
    return F.cross_entropy(F.linear(features, weights).float(), targets)


class _WithGradient(torch.autograd.Function):
    """Compute the loss; its gradients wait for the way back, where they are only scaled."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weights: Tensor, targets: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            number = torch.get_autocast_dtype("cpu")
            features, weights = features.to(number), weights.to(number)
        with torch.autocast("cpu", enabled=False):
            loss, *gradients = _loss_and_gradients(features, weights, targets)
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        of_features, of_weights = ctx.saved_tensors
        return of_features * gradient, of_weights * gradient, None


def _loss_and_gradients(
    features: Tensor, weights: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss, and its gradients by features (N, C) and weights (V, C)."""
    n_tokens = len(targets)
    costs = torch.empty(n_tokens)
    of_features = torch.empty(features.shape)
    of_weights = torch.zeros(weights.shape)
    for begin in range(0, n_tokens, ROWS):
        rows = slice(begin, begin + ROWS)
        at = targets[rows, None]  # (R, 1)
        logits = (features[rows] @ weights.T).float()  # (R, V)
        logits -= logits.amax(1, keepdim=True)  # so that no exponential overflows
        chosen = logits.gather(1, at)
        shares = logits.exp_()
        total = shares.sum(1, keepdim=True)
        costs[rows] = (total.log() - chosen).squeeze(1)
        shares *= (total * n_tokens).reciprocal_()
        shares.scatter_add_(1, at, torch.full(at.shape, -1 / n_tokens))
        errors = shares.to(weights.dtype)
        of_features[rows] = errors @ weights
        of_weights += errors.T @ features[rows]
    return costs.mean(), of_features, of_weights
