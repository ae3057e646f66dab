"""Define what a stage declares: all that planning, rules, storage and verification know of it.

Each file of `stages/` is one stage. It defines the class of its settings, `STAGE`, and a function
`run`, which gets a `Task`. `registry` collects the declarations, so a new stage is one file and its
rule in `workflow/rules/`.

Planning imports all of these files: whatever is slow to import is imported where it is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from variorum.config.types import Settings

Scope = Literal["corpus", "model", "experiment"]
"""What an experiment has one result for: each corpus, each model on its own corpus, all of it."""


class Storage(StrEnum):
    """How results of a stage reach other clones."""

    TRACKED = "tracked by DVC under a file of its own"
    BUNDLED = "inside each result of a bundling stage that uses it"
    BUNDLING = "tracked by DVC, with the bundled results that it uses"


class Rerun(StrEnum):
    """What a result may differ in when another platform makes it again."""

    NOTHING = "the same bytes"
    LOSSES = "the validation losses, within a tolerance"
    SCORES = "bits per byte, within a tolerance"
    CASES = "what is measured of the same text, within a tolerance"
    PAGES = "pictures, and fractions in texts, within a tolerance"


@dataclass(frozen=True)
class Resources:
    """What Snakemake reserves for one result: memory in MB, minutes, GPUs.

    is_parallel: whether the stage takes a training's share of the cores, instead of one.
    """

    mem_mb: int = 1000
    minutes: int = 10
    gpus: int = 0
    is_parallel: bool = False


@dataclass(frozen=True)
class Stage:
    """The declaration of a stage; the name of its file is the name of the stage.

    settings: the class of its settings, the part of an experiment that its key stands on.
    products: the files that every result has; others may stand beside them.
    inputs: by role, the stages whose results may fill it; a role may stay empty. `*` in a role
    stands for any text.
    per: what an experiment has one result for, where nothing else asks for the stage; None: only
    the planner places it.
    is_model: whether a result holds a model. trains: whether it is trained here.
    """

    settings: type[Settings]
    products: tuple[str, ...]
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    storage: Storage = Storage.TRACKED
    rerun: Rerun = Rerun.NOTHING
    resources: Resources = Resources()
    per: Scope | None = None
    is_model: bool = False
    trains: bool = False
