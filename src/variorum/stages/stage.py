"""Define what a stage declares: all that planning, rules, storage and verification know of it.

Each file of `stages/` is one stage. It defines the class of its settings, `STAGE`, and a function
`run`, which gets a `Task`. `registry` collects the declarations, so a new stage is one file and its
rule in `workflow/rules/`.

Planning imports all of these files: whatever is slow to import is imported where it is used.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from variorum.config.types import Settings

Axis = Literal["model", "corpus"]
"""What an experiment may have several of."""


class Storage(StrEnum):
    """Say how results of a stage reach other clones."""

    TRACKED = "tracked by DVC under a file of its own"
    BUNDLED = "inside each result of a bundling stage that uses it"
    BUNDLING = "tracked by DVC, with the bundled results that it uses"


class Rerun(StrEnum):
    """Say what a result may differ in when another platform makes it again."""

    NOTHING = "the same bytes"
    LOSSES = "the validation losses, within a tolerance"
    SCORES = "bits per byte, within a tolerance"
    CASES = "what is measured of the same text, within a tolerance"
    PAGES = "pictures, and fractions in texts, within a tolerance"


@dataclass(frozen=True)
class Resources:
    """Hold what Snakemake reserves for one result: memory in MB, minutes, GPUs.

    is_parallel: whether the stage takes a training's share of the cores, instead of one.
    """

    mem_mb: int = 1000
    minutes: int = 10
    gpus: int = 0
    is_parallel: bool = False

    @property
    def reserved(self) -> dict[str, int]:
        """Return them by the names that Snakemake gives them."""
        return {"mem_mb": self.mem_mb, "runtime": self.minutes, "gpu": self.gpus}


@dataclass(frozen=True)
class Role:
    """Name the model and the corpus of a result; None: it has several."""

    model: str | None = None
    corpus: str | None = None


def always(experiment: Any) -> bool:
    """Return True: every experiment has it."""
    return True


@dataclass(frozen=True)
class Input:
    """Describe what fills an input: a result of one of these stages.

    Its model and corpus are the ones named here, else the reading result's, else the last ones of
    the experiment.
    when: whether an experiment, given by its settings, has this input.
    """

    stages: tuple[str, ...]
    model: str | None = None
    corpus: str | None = None
    when: Callable[[Any], bool] = always


@dataclass(frozen=True)
class Stage:
    """Declare a stage; the name of its file is the name of the stage.

    settings: the class of its settings, the part of an experiment that its key stands on.
    products: the files that every result has; others may stand beside them.
    per: an experiment has one result for each model, for each corpus, for each pair of them, or,
    if empty, one. None: experiments have none.
    makes: the model that a result is, and that model's corpus.
    inputs: by name. A name with `{model}` or `{corpus}` stands for one input each.
    sections: by setting, the experiment's section that it is from, where that has another name.
    label: what people call a result, by the words `experiment`, `model` and `corpus` and by its
    settings; left out, what tells it from others.
    when: whether an experiment, given by its settings, has this stage.
    trains: whether the model is trained here.
    """

    settings: type[Settings]
    products: tuple[str, ...]
    per: tuple[Axis, ...] | None = None
    makes: Role | None = None
    inputs: Mapping[str, Input] = field(default_factory=dict)
    sections: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    when: Callable[[Any], bool] = always
    storage: Storage = Storage.TRACKED
    rerun: Rerun = Rerun.NOTHING
    resources: Resources = Resources()
    trains: bool = False

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Return what tells its results in one experiment apart."""
        return ("model",) if self.makes else self.per or ()
