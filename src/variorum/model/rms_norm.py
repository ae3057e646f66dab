"""Normalize to root mean square 1 (Zhang and Sennrich 2019, section 4), with few operations.

y = x / rms(x) · w, with rms(x)² = mean(x²) + ε. PyTorch has no kernel of it for CPUs and composes
it of a dozen operations; written with its derivative, a training step of the default takes less.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def rms_norm(x: Tensor, epsilon: float, weights: Tensor | None = None) -> Tensor:
    """Return x (..., C) with root mean square 1, times weights (C,)."""
    if x.is_cpu and x.requires_grad and not torch.compiler.is_compiling():
        y: Tensor = _WithDerivative.apply(x, epsilon, weights)  # type: ignore[no-untyped-call]
        return y
    return F.rms_norm(x, x.shape[-1:], weights, epsilon)


class _WithDerivative(torch.autograd.Function):
    """Compute y = n w with n = x / rms(x).

    With the gradient g of y: dx = (g w - n mean(g w n)) / rms(x), dw = sum of g n.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, epsilon: float, weights: Tensor | None) -> Tensor:
        length = torch.linalg.vector_norm(x.float(), dim=-1, keepdim=True)  # (..., 1)
        inverse = length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        normed: Tensor = x * inverse
        ctx.save_for_backward(normed, inverse, weights)
        return normed if weights is None else normed * weights

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor | None]:
        normed, inverse, weights = ctx.saved_tensors
        channels = normed.shape[-1]
        products = gradient * normed
        if weights is None:
            mean = products.sum(-1, keepdim=True).div_(channels)
            of_x = torch.addcmul(gradient, normed, mean, value=-1).mul_(inverse)
            return of_x, None, None
        mean = (products @ weights).div_(channels)[..., None]
        of_x = (gradient * weights).addcmul_(normed, mean, value=-1).mul_(inverse)
        return of_x, None, products.flatten(0, -2).sum(0)
