"""Store the state that a training resumes from: one file, replaced as a whole.

Tensors and the rows of the log lie in one safetensors file, so that a kill at any moment leaves
either the state before or the state after.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from variorum.base.atomic import replacing

LAST_INTERVAL = "last_interval."
"""Precedes the names of the tensors that are stored for a replay."""


@dataclass
class Position:
    """Hold a training's progress: steps done, rows of logs, samples, the choice so far."""

    step: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    diagnostics: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    best_step: int | None = None
    best_val_loss: float = float("inf")
    train_losses: list[float] = field(default_factory=list)
    last_loss: float = 0.0
    gradient_norm: float = 0.0


class State(NamedTuple):
    """Hold flat tensors by name, and the position they belong to."""

    tensors: dict[str, Tensor]
    position: Position

    def copy(self) -> "State":
        """Return a state that later steps do not change."""
        tensors = {name: tensor.clone() for name, tensor in self.tensors.items()}
        return State(tensors, deepcopy(self.position))


def write(path: Path, state: State, last_interval: State | None = None) -> None:
    """Replace the state at `path`, and the last interval's state with it, if any."""
    tensors, positions = dict(state.tensors), [asdict(state.position)]
    if last_interval is not None:
        positions.append(asdict(last_interval.position))
        for name, tensor in last_interval.tensors.items():
            tensors[LAST_INTERVAL + name] = tensor
    # more than one entry of metadata would be written in an order that changes
    with replacing(path) as new, _as_os_error(path):
        # straight to the file: there is no second copy in memory
        save_file(tensors, new, {"positions": json.dumps(positions)})


@contextmanager
def _as_os_error(path: Path) -> Iterator[None]:
    """Raise a disk error as Python's OSError; safetensors only words it."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def read(path: Path) -> tuple[State, State | None] | None:
    """Read what `write` left at `path`; None if it is missing or unreadable."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            positions = [Position(**p) for p in json.loads(file.metadata()["positions"])]
        own = {n: t for n, t in tensors.items() if not n.startswith(LAST_INTERVAL)}
        kept = {n.removeprefix(LAST_INTERVAL): t for n, t in tensors.items() if n not in own}
        return State(own, positions[0]), State(kept, positions[1]) if kept else None
    except (SafetensorError, KeyError, IndexError, TypeError, ValueError):
        return None
