"""GELU between the layers, as in GPT-2 (Radford et al. 2018, section 4.1)."""

from torch import Tensor

from variorum.model.feed_forward import TwoLayers
from variorum.model.gelu import gelu


class FeedForward(TwoLayers):
    """Two layers with a GELU between them."""

    def activation(self, x: Tensor) -> Tensor:
        """GELU of each element, tanh form."""
        return gelu(x)
