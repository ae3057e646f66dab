"""Apply ReLU² between the layers (So et al. 2021, Primer, section 4).

It is cheap, and sparse.
"""

from torch import Tensor

from variorum.model.feed_forward import TwoLayers


class FeedForward(TwoLayers):
    """Apply two layers with a squared ReLU between them."""

    def activation(self, x: Tensor) -> Tensor:
        """Return the square of each element, or 0 if it is negative."""
        return x.relu().square()
