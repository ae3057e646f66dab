"""Apply a GELU between the layers, as GPT-2 does (Radford et al. 2018, section 4.1)."""

from torch import Tensor

from variorum.model.feed_forward import TwoLayers
from variorum.model.gelu import gelu


class FeedForward(TwoLayers):
    """Apply two layers with a GELU between them."""

    def activation(self, x: Tensor) -> Tensor:
        """Return GELU of each element, tanh form."""
        return gelu(x)
