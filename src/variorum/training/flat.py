"""All parameters of a model as one flat vector, which processes can share and split.

Each parameter begins at a multiple of 64 bytes, so that vector instructions see the same alignment
in every process.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ALIGNMENT = 16  # floats of 4 bytes


@dataclass(frozen=True)
class Layout:
    """Where each parameter stands in the flat vector."""

    offsets: tuple[int, ...]
    size: int

    @classmethod
    def of(cls, model: nn.Module) -> "Layout":
        """The layout of `model.parameters()`, in that order."""
        offsets, size = [], 0
        for parameter in model.parameters():
            offsets.append(size)
            size += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
        return cls(tuple(offsets), size)

    def views(self, vector: Tensor, model: nn.Module) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Each parameter with the part of `vector` that is its own, in its shape."""
        for parameter, offset in zip(model.parameters(), self.offsets, strict=True):
            part = vector[offset : offset + parameter.numel()]
            yield parameter, part.view(parameter.shape)

    def slices(self, count: int) -> list[slice]:
        """The vector cut into `count` runs of nearly equal length, each aligned."""
        length = -(-self.size // (count * ALIGNMENT)) * ALIGNMENT
        return [slice(i * length, min((i + 1) * length, self.size)) for i in range(count)]


def gather(layout: Layout, model: nn.Module) -> Tensor:
    """A new flat vector with the parameters' values; gaps are zero."""
    vector = torch.zeros(layout.size)
    for parameter, part in layout.views(vector, model):
        part.copy_(parameter.detach())
    return vector


def attach(layout: Layout, model: nn.Module, vector: Tensor) -> None:
    """Let the parameters live in `vector`: changing one changes the other."""
    for parameter, part in layout.views(vector, model):
        parameter.data = part


def attach_gradients(layout: Layout, model: nn.Module, vector: Tensor) -> None:
    """Let backward passes add into `vector`."""
    for parameter, part in layout.views(vector, model):
        parameter.grad = part


def decayed(layout: Layout, model: nn.Module) -> Tensor:
    """1 where weight decay applies: matrices and embeddings, not biases and norms."""
    mask = torch.zeros(layout.size)
    for parameter, part in layout.views(mask, model):
        part.fill_(float(parameter.dim() >= 2))
    return mask
