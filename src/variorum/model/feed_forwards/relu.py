"""ReLU between the layers, as in the first Transformer (Vaswani et al. 2017, section 3.3)."""

from torch import Tensor

from variorum.model.feed_forward import TwoLayers


class FeedForward(TwoLayers):
    """Two layers with a ReLU between them."""

    def activation(self, x: Tensor) -> Tensor:
        """Each element, or 0 if it is negative."""
        return x.relu()
