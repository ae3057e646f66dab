"""Collect the stages: the files of `stages/` that declare one."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from variorum.stages.stage import Rerun, Role, Stage, Storage

SHARED = frozenset({"__init__", "registry", "stage", "task"})
"""Files of the folder that are no stages."""


def function_of(stage: str) -> str:
    """Return where the code of a stage begins, as `module:name`."""
    return f"variorum.stages.{stage}:run"


def _in_order(declared: Mapping[str, Stage]) -> dict[str, Stage]:
    """Sort stages by the flow: each after all that it may read, else by name."""

    def depth(name: str) -> int:
        read = {needed for each in declared[name].inputs.values() for needed in each.stages}
        return 1 + max(map(depth, read), default=-1)

    return {name: declared[name] for name in sorted(declared, key=lambda n: (depth(n), n))}


def _declared() -> dict[str, Stage]:
    names = {file.stem for file in Path(__file__).parent.glob("*.py")} - SHARED
    return {name: import_module(f"variorum.stages.{name}").STAGE for name in names}


STAGES = _in_order(_declared())
"""Every stage by its name, in the order of the flow."""


def _names(holds: Callable[[Stage], bool]) -> tuple[str, ...]:
    return tuple(name for name, stage in STAGES.items() if holds(stage))


TRAININGS = _names(lambda stage: stage.trains)
"""The stages that train a model, in the order of the flow."""

MODELS = _names(lambda stage: stage.makes is not None)
"""The stages whose results hold a model, in the order of the flow."""

SCORES = _names(lambda stage: stage.rerun is Rerun.SCORES)
"""The stages whose results score a model."""

BUNDLED = _names(lambda stage: stage.storage is Storage.BUNDLED)
"""The stages whose results travel inside other results."""

BUNDLING = _names(lambda stage: stage.storage is Storage.BUNDLING)
"""The stages whose results carry the bundled ones that they use."""

TRACKED = _names(lambda stage: stage.storage is not Storage.BUNDLED)
"""The stages whose results DVC tracks, each under a file of its own."""


def model_of(stage: str) -> Role:
    """Return the model that results of a stage are, and its corpus."""
    role = STAGES[stage].makes
    assert role is not None, f"{stage} makes no model"
    return role


def place_of(stage: str) -> int:
    """Return a stage's place in the flow; unknown stages come last."""
    return list(STAGES).index(stage) if stage in STAGES else len(STAGES)
