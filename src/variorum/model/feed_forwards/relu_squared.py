"""Apply ReLU² between the layers (So et al. 2021, Primer, section 4).

It is cheap, and sparse.
"""

from typing import Any

import torch
from torch import Tensor

from variorum.model.feed_forward import TwoLayers


class FeedForward(TwoLayers):
    """Apply two layers with a squared ReLU between them."""

    def activation(self, x: Tensor) -> Tensor:
        """Return the square of each element, or 0 if it is negative."""
        if x.is_cpu and x.requires_grad and not torch.compiler.is_compiling():
            y: Tensor = _WithDerivative.apply(x)  # type: ignore[no-untyped-call]
            return y
        return x.relu().square()


class _WithDerivative(torch.autograd.Function):
    """Compute r² with r = max(x, 0), whose derivative is 2 r."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = x.relu()
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        positive: Tensor = ctx.saved_tensors[0]
        return (gradient * positive).mul_(2)
