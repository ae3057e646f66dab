"""ReLU² between the layers (So et al. 2021, Primer, section 4): cheap, and sparse."""

from torch import Tensor

from variorum.model.feed_forward import TwoLayers


class FeedForward(TwoLayers):
    """Two layers with a squared ReLU between them."""

    def activation(self, x: Tensor) -> Tensor:
        """The square of each element, or 0 if it is negative."""
        return x.relu().square()
