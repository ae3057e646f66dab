"""Compare an experiment's models with each other and with the baselines of each test text."""

import json
from typing import TYPE_CHECKING, Any

from variorum.config.types import Settings
from variorum.evaluation.metrics import KINDS
from variorum.report.naming import MODELS, SIDES
from variorum.stages.stage import Input, Rerun, Stage, Storage
from variorum.stages.task import Task
from variorum.store.result import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ComparisonsStage(Settings):
    """Compare by pairs; there is nothing to choose."""


STAGE = Stage(
    ComparisonsStage,
    products=("comparisons.json",),
    per=(),
    inputs={
        "baselines_{corpus}": Input(("baselines",)),
        "{model}_on_{corpus}": Input(("evaluate",)),
        "{model}_dynamic_on_{corpus}": Input(("dynamic",)),
    },
    storage=Storage.BUNDLED,
    rerun=Rerun.PAGES,
)


def run(task: Task) -> None:
    """Write `comparisons.json`: by corpus and kind of score, every score and every pair."""
    found = {
        corpus: _comparisons(task, corpus)
        for corpus in SIDES
        if f"baselines_{corpus}" in task.inputs
    }
    content = json.dumps(found, indent=2, sort_keys=True) + "\n"
    (task.output / "comparisons.json").write_text(content, encoding="utf-8")


def _comparisons(task: Task, corpus: str) -> dict[str, Any]:
    from variorum.evaluation.comparisons import comparison

    models = [name for name in MODELS if f"{name}_on_{corpus}" in task.inputs]
    drawn = task.inputs[f"baselines_{corpus}"].json("metrics.json")["drawn"]
    n_bytes, baselines = _parts(task.inputs[f"baselines_{corpus}"])
    found: dict[str, Any] = {}
    for kind in KINDS:
        how = "dynamic_on" if kind == "adaptive" else "on"
        costs = {name: _parts(task.inputs[f"{name}_{how}_{corpus}"])[1][kind] for name in models}
        for name, bits in baselines.items():
            baseline, of_kind = name.rsplit("_", 1)
            if of_kind == kind:
                costs[baseline] = bits
        found[kind] = comparison(costs, models, n_bytes, drawn)
    return found


def _parts(result: Result) -> "tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]":
    from variorum.evaluation.parts import read

    return read(result.file("parts.csv"))
