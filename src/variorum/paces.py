"""What decides how long a step of a training takes: all else may differ between two of one pace."""

import json
from typing import Any

from variorum.config import ModelSettings, TrainingSettings, canonical

MATTER = (
    "optimizer",
    "batch_size",
    "accumulation",
    "precision",
    "compile",
    "shards",
    "freeze",
)
"""Settings of a training that do; rates, schedules, windows and looks at val do not."""


def what_matters(model: ModelSettings, training: TrainingSettings, vocab_size: int | None) -> str:
    """All that decides the pace but the machine, as JSON; no size: the vocabulary is the text's."""
    chosen = canonical(training)
    data: dict[str, Any] = {
        "model": canonical(model),
        "training": {name: chosen[name] for name in MATTER if name in chosen},
        "vocab_size": vocab_size,
    }
    return json.dumps(data, sort_keys=True, separators=(",", ":"))
