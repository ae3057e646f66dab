"""Define a feed-forward network: the contract of the files in `model/feed_forwards/`.

Each file there defines one class `FeedForward`, a subclass of `TwoLayers`; the file's name is the
setting's value, so `model/feed_forwards/mine.py` is all it takes to try `feed_forward: mine`.
"""

from abc import abstractmethod

from torch import Tensor, nn

from variorum.config.model_settings import ModelSettings
from variorum.model.stacked import Stacked

WIDENING = 4  # GPT-2's


class TwoLayers(nn.Module):
    """Apply two linear layers with an activation between them, keeping (B, T, C)."""

    kind = "FeedForward"

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width, bias = settings.n_embd, settings.bias
        read, made = self.inner_widths(width)
        parts = 1 if made % read else made // read
        self.c_fc = Stacked(width, made // parts, parts, bias=bias)
        self.c_proj = nn.Linear(read, width, bias=bias)

    @staticmethod
    def inner_widths(width: int) -> tuple[int, int]:
        """Return the channels that the second layer reads, and the first one makes."""
        return WIDENING * width, WIDENING * width

    @abstractmethod
    def activation(self, x: Tensor) -> Tensor:
        """Turn the first layer's output (B, T, made) into the second's input (B, T, read)."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the same function to each token's vector."""
        y: Tensor = self.c_proj(self.activation(self.c_fc(x)))
        return y
