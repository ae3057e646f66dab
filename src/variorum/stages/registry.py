"""Collect the stages: the files of `stages/` that declare one."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from variorum.base.errors import VariorumError
from variorum.stages.stage import Role, Stage, Storage

SHARED = frozenset({"__init__", "registry", "stage", "task"})
"""Files of the folder that are no stages."""


def function_of(stage: str) -> str:
    """Return where the code of a stage begins, as `module:name`."""
    return f"variorum.stages.{stage}:run"


def in_order(declared: Mapping[str, Stage]) -> dict[str, Stage]:
    """Sort stages by the flow: each after all that it may read, else by name.

    Raises `VariorumError` if one reads what no stage makes, or what is made from it.
    """
    _refuse_unknown(declared)

    def depth(name: str, *after: str) -> int:
        if name in after:
            raise VariorumError(
                f"src/variorum/stages/{name}.py: inputs: it reads what is made from it, by way of "
                f"{', '.join(after)}; take one of these out"
            )
        read = {needed for each in declared[name].inputs.values() for needed in each.stages}
        return 1 + max((depth(needed, name, *after) for needed in read), default=-1)

    return {name: declared[name] for name in sorted(declared, key=lambda n: (depth(n), n))}


def _refuse_unknown(declared: Mapping[str, Stage]) -> None:
    made = [stage.makes for stage in declared.values() if stage.makes]
    known: dict[str, list[str | None]] = {
        "stage": [*declared],
        "model": [None, *(role.model for role in made)],
        "corpus": [None, *(role.corpus for role in made)],
    }
    for name, stage in declared.items():
        for which, read in stage.inputs.items():
            for kind, asked in (
                *(("stage", needed) for needed in read.stages),
                ("model", read.model),
                ("corpus", read.corpus),
            ):
                if asked not in known[kind]:
                    names = ", ".join(dict.fromkeys(each for each in known[kind] if each))
                    raise VariorumError(
                        f"src/variorum/stages/{name}.py: inputs: {which}: there is no {kind} "
                        f"{asked}; name one of {names}"
                    )


def _declared() -> dict[str, Stage]:
    names = {file.stem for file in Path(__file__).parent.glob("*.py")} - SHARED
    return {name: import_module(f"variorum.stages.{name}").STAGE for name in names}


STAGES = in_order(_declared())
"""Every stage by its name, in the order of the flow."""


def _names(holds: Callable[[Stage], bool]) -> tuple[str, ...]:
    return tuple(name for name, stage in STAGES.items() if holds(stage))


TRAININGS = _names(lambda stage: stage.trains)
"""The stages that train a model, in the order of the flow."""

MODELS = _names(lambda stage: stage.makes is not None)
"""The stages whose results hold a model, in the order of the flow."""

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
