"""How long steps of trainings take, as `config/paces.lock` says, for ablations with equal time.

A time that is measured differs each time, and what enters a key must not. So the pace of a step is
locked, as `config/sources.lock` locks what addresses hold: measured once (`pace_lock`), committed,
and read from then on. Only how paces compare counts: those of one ablation are measured side by
side, and each ablation has entries of its own, as those of two days cannot be compared.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from variorum.config.canonical import canonical
from variorum.config.model_settings import ModelSettings
from variorum.config.training_settings import TrainingSettings
from variorum.config.yaml_text import quoted
from variorum.errors import VariorumError

LOCK = "config/paces.lock"
HEADER = (
    "# Seconds that a step of a training took when that was first needed, for budgets of time.\n"
    "# Keys stand on these; commit this file.\n"
)
REMEDY = "run `variorum lock`, and commit the file"

MATTER = (
    "optimizer",
    "batch_size",
    "accumulation",
    "precision",
    "compile",
    "shards",
    "freeze",
)
"""Settings of a training that its pace depends on; rates, schedules and looks at val are none."""

CHARACTERS = 350
"""Tokens of a vocabulary that the text decides, before it is known: 256 bytes, letters, signs."""

_DIGITS = 12


@dataclass(frozen=True)
class Steps:
    """Steps that take equally long; vocab_size: None where the text decides it."""

    model: ModelSettings
    vocab_size: int | None
    training: TrainingSettings

    def as_json(self) -> str:
        """All that decides how long they take, but the machine."""
        chosen = canonical(self.training)
        data: dict[str, Any] = {
            "model": canonical(self.model),
            "training": {name: chosen[name] for name in MATTER if name in chosen},
            "vocab_size": self.vocab_size,
        }
        return json.dumps(data, sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """Equal for steps that take equally long."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()[:_DIGITS]

    def entry_of(self, ablation: str) -> str:
        """What the lock calls their pace in an ablation."""
        return f"{ablation}/{self.digest}"


@dataclass(frozen=True)
class Entry:
    """Seconds a step, and for which variant of which ablation that was measured.

    processor, device: where; for people, as no key stands on them.
    """

    seconds: float
    variant: str
    processor: str
    device: str = "cpu"


def entries(root: Path) -> dict[str, Entry]:
    """What the lock says, by `Steps.entry_of`. Raises `VariorumError` if it is damaged."""
    path = root / LOCK
    if not path.is_file():
        return {}
    try:
        return read(path.read_text(encoding="utf-8"))
    except (YAMLError, ValueError, AttributeError, KeyError, TypeError):
        raise VariorumError(
            f"{LOCK}: cannot be read; restore it with `git checkout -- {LOCK}`, or, after a merge, "
            "keep the lines of both sides"
        ) from None


def read(text: str) -> dict[str, Entry]:
    """The entries in the text of a lock file; raises some error if it is none."""
    found = YAML(typ="safe").load(text) or {}
    return {str(name): _entry(**entry) for name, entry in found.items()}


def _entry(seconds: float, variant: str, processor: str, device: str) -> Entry:
    if type(seconds) is not float or not math.isfinite(seconds) or seconds <= 0:
        raise ValueError
    return Entry(seconds, str(variant), str(processor), str(device))


def written(known: dict[str, Entry]) -> str:
    """The text of the lock file: sorted, so that a new entry is a few new lines to git."""
    lines = [HEADER]
    for name, entry in sorted(known.items()):
        lines += [f"{quoted(name)}:\n", f"  seconds: {entry.seconds!r}\n"]
        lines += [f"  variant: {quoted(entry.variant)}\n"]
        lines += [f"  processor: {quoted(entry.processor)}\n"]
        lines += [f"  device: {quoted(entry.device)}\n"]
    return "".join(lines)
