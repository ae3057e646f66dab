"""Train the rows of tables that a batch looks up, and no others.

A row that no token of a step's batch looks up stays as it is in that step: its weights, and the
optimizer's states of it. Neither momentum moves it nor does decay shrink it. A row that is looked
up is updated as every other weight, with the number of the step among all steps. PyTorch's
SparseAdam does likewise.

Which rows a batch looks up follows from its tokens, before anything is computed. So the gradient is
a vector of known length: dense parameters first, then the rows of each table in ascending order.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from variorum.model.gpt import GPT
from variorum.training.flat import Layout, aligned


@dataclass(frozen=True)
class TouchedRows:
    """Hold the rows of one table that a step's batch looks up.

    name: of the table's parameter. rows: their numbers (R,), ascending. place: where their
    gradients lie in the step's vector; `width` numbers each.
    """

    name: str
    rows: Tensor
    place: slice
    width: int

    def gradients(self, vector: Tensor) -> Tensor:
        """Return the rows' gradients (R, width), a view of a gradient vector."""
        return vector[self.place].view(-1, self.width)

    def part(self, index: int, count: int) -> slice:
        """Return which of the rows are number `index` of `count` nearly equal parts."""
        length = -(-len(self.rows) // count)
        return slice(index * length, (index + 1) * length)


class Tables:
    """Find a model's tables and the rows of them that tokens look up."""

    def __init__(self, layout: Layout, model: GPT) -> None:
        self._layout, self._model = layout, model
        parameters = dict(model.named_parameters())
        self._trained = {n: parameters[n] for n in layout.tables if parameters[n].requires_grad}

    def most(self, n_tokens: int) -> int:
        """Return the most numbers that the rows of a batch of so many tokens have."""
        shapes = (self._layout.shapes[name] for name in self._trained)
        return sum(aligned(min(rows, n_tokens) * width) for rows, width in shapes)

    def touched(self, ids: Tensor) -> list[TouchedRows]:
        """Return the rows that ids (B, T), on the CPU, look up in each table."""
        if not self._trained:
            return []
        found, begin = [], self._layout.dense
        for name, looked_up in self._model.looked_up(ids).items():
            if name not in self._trained:
                continue
            rows, width = torch.unique(looked_up), self._layout.shapes[name][1]
            end = begin + len(rows) * width
            found.append(TouchedRows(name, rows, slice(begin, end), width))
            begin = begin + aligned(end - begin)
        return found

    def gather(self, touched: list[TouchedRows], vector: Tensor) -> None:
        """Move the gradients that a backward pass left into a gradient vector."""
        for table in touched:
            parameter = self._trained[table.name]
            gradient = parameter.grad
            assert gradient is not None
            places = torch.searchsorted(table.rows, gradient._indices()[0])
            table.gradients(vector).index_add_(0, places, gradient._values())
            parameter.grad = None


def end_of(touched: list[TouchedRows], layout: Layout) -> int:
    """Return the length of a step's gradient vector."""
    return touched[-1].place.stop if touched else layout.dense


def gradient_views(
    layout: Layout, touched: list[TouchedRows], vector: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """Yield each parameter's name with its part of a gradient vector.

    A table's part has the rows that were touched (R, width).
    """
    for name in layout.offsets:
        if name not in layout.tables:
            yield name, layout.view(vector, name)
    for table in touched:
        yield table.name, table.gradients(vector)
