"""Compute several linear layers of one input by one product."""

from torch import nn


class Stacked(nn.Linear):
    """Hold the weights of `parts` layers (width, each), one below the other."""

    def __init__(self, width: int, each: int, parts: int, *, bias: bool) -> None:
        super().__init__(width, parts * each, bias=bias)
        self.parts = parts
