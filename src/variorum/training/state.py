"""The state that a training goes on from: one file, replaced as a whole.

Tensors and the rows of the log lie in one safetensors file, so that a kill at any moment leaves
either the state before or the state after.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from variorum.atomic import write_atomically


@dataclass
class Position:
    """How far a training is: steps done, rows of the log, samples, and the choice so far."""

    step: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    best_step: int | None = None
    best_val_loss: float = float("inf")
    train_losses: list[float] = field(default_factory=list)
    last_loss: float = 0.0
    gradient_norm: float = 0.0


def write(path: Path, tensors: Mapping[str, Tensor], position: Position) -> None:
    """Replace the state at `path`."""
    text = json.dumps(position.__dict__)
    write_atomically(path, save(dict(tensors), {"position": text}))


def read(path: Path) -> tuple[dict[str, Tensor], Position] | None:
    """The state at `path`; None if there is none, or if it cannot be read."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, Position(**json.loads(file.metadata()["position"]))
    except (SafetensorError, KeyError, TypeError, ValueError):
        return None
