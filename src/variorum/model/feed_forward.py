"""What a feed-forward network is: the contract of the files in `model/feed_forwards/`.

Each file there defines one class `FeedForward`, a subclass of `TwoLayers`; the file's name is the
setting's value, so `model/feed_forwards/mine.py` is all it takes to try `feed_forward: mine`.
"""

from abc import abstractmethod

from torch import Tensor, nn

from variorum.config.model_settings import ModelSettings

WIDENING = 4  # GPT-2's


class TwoLayers(nn.Module):
    """Two linear layers with an activation between them: (B, T, C) to (B, T, C)."""

    kind = "FeedForward"

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        width, bias = settings.n_embd, settings.bias
        read, made = self.inner_widths(width)
        self.c_fc = nn.Linear(width, made, bias=bias)
        self.c_proj = nn.Linear(read, width, bias=bias)

    @staticmethod
    def inner_widths(width: int) -> tuple[int, int]:
        """Channels that the second layer reads, and those that the first one makes for them."""
        return WIDENING * width, WIDENING * width

    @abstractmethod
    def activation(self, x: Tensor) -> Tensor:
        """What the second layer reads (B, T, read), of what the first one made (B, T, made)."""

    def forward(self, x: Tensor) -> Tensor:
        """The same function of each token's vector."""
        y: Tensor = self.c_proj(self.activation(self.c_fc(x)))
        return y
