"""Apply SwiGLU: half of the channels gates the other (Shazeer 2020, section 2).

Three matrices instead of two; the inside is two thirds as wide, rounded up to a multiple of 8, so
that the number of weights stays about the same.
"""

from torch import Tensor
from torch.nn import functional as F

from variorum.model.feed_forward import WIDENING, TwoLayers


class FeedForward(TwoLayers):
    """Apply two layers, of which the first makes gates as well.

    `c_fc` makes the gates first.
    """

    @staticmethod
    def inner_widths(width: int) -> tuple[int, int]:
        """Return 8/3 of the width, and twice that."""
        inner = -(-2 * WIDENING * width // 3 // 8) * 8
        return inner, 2 * inner

    def activation(self, x: Tensor) -> Tensor:
        """Return SiLU of the gates times the values."""
        gates, values = x.chunk(2, dim=-1)
        return F.silu(gates) * values
