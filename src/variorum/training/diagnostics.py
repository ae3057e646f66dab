"""Record what happens inside while a model trains, at each validation.

For each layer and each part outside of layers: the norm of the gradient before clipping, the
norm of the weights, and how far the step moved them in proportion (about 1e-3 is usual for Adam).
For the activations behind each layer, on the first validation window: root mean square, largest
size, and the share of the feed-forward network's channels that no token made positive (dead ones).
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from variorum.model.gpt import GPT
from variorum.training.flat import Layout, square_sum

Row = dict[str, Any]

COLUMNS = (
    "step",
    "part",
    "gradient_norm",
    "weight_norm",
    "update_ratio",
    "activation_rms",
    "activation_max",
    "dead_share",
)


class Watch:
    """Hold the weights (n,) before a step, and its gradient's norms by part."""

    def __init__(
        self, layout: Layout, weights: Tensor, gradients: Iterable[tuple[str, Tensor]]
    ) -> None:
        """Take the weights, and each parameter's name with its gradient."""
        self._layout, self._before = layout, weights.clone()
        self._gradient_norms = dict(_norms(gradients))

    def rows(self, step: int, weights: Tensor) -> list[Row]:
        """Return a row for each part, given the weights after the step."""
        moved = dict(_norms(self._layout.views(weights - self._before)))
        return [
            {
                "step": step,
                "part": part,
                "gradient_norm": self._gradient_norms.get(
                    part, 0.0
                ),  # none where a table is frozen
                "weight_norm": norm,
                "update_ratio": moved[part] / norm if norm else None,
            }
            for part, norm in _norms(self._layout.views(self._before))
        ]


def _norms(named: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, float]]:
    """Yield each part's norm: a layer's attention or feed-forward network, or another part."""
    views = sorted(named, key=lambda view: part_of(view[0]))
    for part, own in groupby(views, key=lambda view: part_of(view[0])):
        squares = [square_sum(view) for _, view in own]
        yield part, float(torch.stack(squares).sum().sqrt())


def part_of(name: str) -> str:
    """Return a parameter's part: h.0.attn for h.0.attn.c_attn.weight, wte for wte.weight."""
    parts = name.split(".")
    return ".".join(parts[:3] if parts[0] == "h" else parts[:-1])


def activations(step: int, model: GPT, window: Tensor) -> list[Row]:
    """Return a row for each layer's output on one window (1, T) of tokens."""
    found = {name: tensor.cpu() for name, tensor in model.trace(window).items()}
    return [
        {
            "step": step,
            "part": f"h.{layer}",
            "activation_rms": float(found[f"h.{layer}"].double().square().mean().sqrt()),
            "activation_max": float(found[f"h.{layer}"].abs().max()),
            "dead_share": _dead_share(found[f"h.{layer}.mlp.activation"]),
        }
        for layer in range(model.settings.n_layer)
    ]


def _dead_share(activation: Tensor) -> float:
    """Return the share of the channels of (1, T, C) that are positive nowhere."""
    return float((activation <= 0).all(dim=1).double().mean())
