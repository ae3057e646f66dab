"""Drop activations while training (Srivastava et al. 2014, section 4)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 1 << 16
"""Values of the 16 random bits that decide on each activation."""


class Dropout(nn.Module):
    """Set a share of the activations to zero, and scale up the others.

    The mean stays the same. On a CPU drawing is most of the work: 16 bits for each activation take
    half the time of PyTorch's own draws, so the share is rounded to a multiple of 1 / 65,536.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Drop from x of any shape; outside of training return it as it is."""
        if not self.training:
            return x
        if not x.is_cpu or torch.compiler.is_compiling():
            return F.dropout(x, self.share)
        dropped = round(self.share * LEVELS)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        kept = (bits >= dropped - LEVELS // 2).to(x.dtype)
        return x * kept.mul_(LEVELS / (LEVELS - dropped))
