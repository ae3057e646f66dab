"""Apply a ReLU between the layers (Vaswani et al. 2017, section 3.3).

The first Transformer did so.
"""

from torch import Tensor

from variorum.model.feed_forward import TwoLayers


class FeedForward(TwoLayers):
    """Apply two layers with a ReLU between them."""

    def activation(self, x: Tensor) -> Tensor:
        """Return each element, or 0 if it is negative."""
        return x.relu()
