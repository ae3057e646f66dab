"""Lay all parameters of a model in one flat vector, which processes share and split.

The matrices inside the blocks come first, so that an optimizer can take them one by one and the
rest in runs of any length. Tables, of which a batch looks up a few rows, come last. Each parameter
begins at a multiple of 64 bytes, so that vector instructions see the same alignment in every
process.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from variorum.base.errors import VariorumError
from variorum.model.stacked import Stacked

ALIGNMENT = 16  # floats of 4 bytes


@dataclass(frozen=True)
class Layout:
    """Hold the offset of each parameter in the flat vector, by name, in order.

    n_matrices: the first so many are matrices inside the blocks.
    tables: the last ones, whose gradients have a few rows; before them are `dense` numbers.
    parts: of how many matrices, one below the other, a parameter consists, where it is several.
    """

    offsets: dict[str, int]
    shapes: dict[str, torch.Size]
    n_matrices: int
    size: int
    tables: tuple[str, ...]
    dense: int
    parts: dict[str, int]

    @classmethod
    def of(cls, model: nn.Module) -> "Layout":
        """Return the layout of a model's parameters."""
        shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        modules = dict(model.named_modules())
        matrices = [name for name in shapes if name.startswith("h.") and len(shapes[name]) == 2]
        tables = [
            f"{name}.weight"
            for name, module in modules.items()
            if isinstance(module, nn.Embedding) and module.sparse
        ]
        rest = [name for name in shapes if name not in (*matrices, *tables)]
        offsets, size = {}, 0
        for name in (*matrices, *rest, *tables):
            offsets[name] = size
            size += aligned(shapes[name].numel())
        parts = {
            f"{name}.weight": module.parts
            for name, module in modules.items()
            if isinstance(module, Stacked)
        }
        dense = offsets[tables[0]] if tables else size
        shapes = {name: shapes[name] for name in offsets}
        return cls(offsets, shapes, len(matrices), size, tuple(tables), dense, parts)

    def views(self, vector: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each parameter's name and its part of `vector`, in its shape."""
        for name in self.offsets:
            yield name, self.view(vector, name)

    def view(self, vector: Tensor, name: str) -> Tensor:
        """Return one parameter's part of `vector`, in its shape."""
        offset, shape = self.offsets[name], self.shapes[name]
        return vector[offset : offset + shape.numel()].view(shape)

    def slices(self, count: int, begin: int = 0, end: int | None = None) -> list[slice]:
        """Cut the vector into `count` aligned runs of nearly equal length.

        They go from `begin` to `end`, which is the beginning of the tables if it is not given.
        """
        end = self.dense if end is None else end
        length = -(-(end - begin) // (count * ALIGNMENT)) * ALIGNMENT
        cuts = [min(begin + i * length, end) for i in range(count + 1)]
        return [slice(*cut) for cut in pairwise(cuts)]

    def shares(self, count: int, *, matrices_whole: bool) -> list["Share"]:
        """Divide all but the tables into `count` shares of about equal work."""
        if not matrices_whole:
            return [Share(run, ()) for run in self.slices(count)]
        names = list(self.offsets)[: self.n_matrices]
        rest = [*self.offsets.values(), self.size][self.n_matrices]
        dealt: list[list[str]] = [[] for _ in range(count)]
        for name in sorted(names, key=lambda name: -self.shapes[name].numel()):
            min(dealt, key=lambda own: sum(self.shapes[n].numel() for n in own)).append(name)
        runs = self.slices(count, rest)
        return [Share(run, self._by_shape(own)) for run, own in zip(runs, dealt, strict=True)]

    def _by_shape(self, names: list[str]) -> tuple[tuple[str, ...], ...]:
        """Return the names in groups of parameters of one shape."""
        groups: dict[torch.Size, list[str]] = {}
        for name in names:
            groups.setdefault(self.shapes[name], []).append(name)
        return tuple(tuple(group) for group in groups.values())


@dataclass(frozen=True)
class Share:
    """Hold one update's object: a run of the vector, and matrices by shape."""

    run: slice
    matrices: tuple[tuple[str, ...], ...]


def aligned(length: int) -> int:
    """Return the least multiple of the alignment that is not below a length, in floats."""
    return -(-length // ALIGNMENT) * ALIGNMENT


def gather(layout: Layout, model: nn.Module) -> Tensor:
    """Return a new flat vector with the parameters' values; gaps are zero.

    It lies on the parameters' device.
    """
    parameters = dict(model.named_parameters())
    vector = torch.zeros(layout.size, device=next(iter(parameters.values())).device)
    for name, part in layout.views(vector):
        part.copy_(parameters[name].detach())
    return vector


def attach(layout: Layout, model: nn.Module, vector: Tensor) -> None:
    """Let the parameters live in `vector`: changing one changes the other."""
    parameters = dict(model.named_parameters())
    for name, part in layout.views(vector):
        parameters[name].data = part


def attach_gradients(layout: Layout, model: nn.Module, vector: Tensor) -> None:
    """Let backward passes add into `vector`; parameters that are frozen get none.

    Gradients of tables stay apart, as PyTorch makes them: rows with their numbers.
    """
    for parameter, part in gradient_places(layout, model, vector):
        parameter.grad = part


def gradient_places(
    layout: Layout, model: nn.Module, vector: Tensor
) -> list[tuple[nn.Parameter, Tensor]]:
    """Return each trained parameter but the tables, with its part of a vector (dense,)."""
    parameters = dict(model.named_parameters())
    return [
        (parameters[name], layout.view(vector, name))
        for name in layout.offsets
        if name not in layout.tables and parameters[name].requires_grad
    ]


def square_sum(vector: Tensor) -> Tensor:
    """Return the sum of the squares, in float64, on the CPU if need be.

    Apple's GPU has no float64.
    """
    exact = vector.cpu() if vector.is_mps else vector
    return torch.sum(exact.double() ** 2)


def freeze(model: nn.Module, beginnings: Iterable[str]) -> None:
    """Freeze the parameters whose names begin so; at least one has to be left.

    Raises:
        VariorumError: if no name begins so, or if none is left.
    """
    parameters = dict(model.named_parameters())
    for beginning in beginnings:
        found = [n for n in parameters if f"{n}.".startswith(f"{beginning}.")]
        if not found:
            parts = dict.fromkeys(
                ".".join(n.split(".")[: 1 + n.startswith("h.")]) for n in parameters
            )
            raise VariorumError(
                f"freeze: no part of this model is called {beginning}; it has {', '.join(parts)}"
            )
        for name in found:
            parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise VariorumError("freeze: nothing is left to train; name fewer parts")


def decayed(layout: Layout, model: nn.Module) -> Tensor:
    """Return 1 where weight decay applies (n,): trained matrices and embeddings.

    Biases and norms do not decay, and have 0.
    """
    parameters = dict(model.named_parameters())
    mask = torch.zeros(layout.size, device=next(iter(parameters.values())).device)
    for name, part in layout.views(mask):
        part.fill_(float(part.dim() >= 2 and parameters[name].requires_grad))
    return mask
