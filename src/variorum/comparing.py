"""`variorum compare main`: an ablation of the present code against another, in one line.

It is an ablation like others, written once to `config/ablations/compare-<code>.yaml`, to be edited
and kept.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from variorum import trees
from variorum.ablations import LastStage, load_ablation
from variorum.atomic import write_atomically
from variorum.errors import VariorumError
from variorum.experiments import in_yaml, load_experiment

SEEDS = 5
HERE = "here"
FINDING = "- "
"""How the lines of a table begin that tell what it shows."""


@dataclass(frozen=True)
class Comparison:
    """An ablation of two states of the code."""

    name: str

    @property
    def file(self) -> str:
        """Where it is written."""
        return f"config/ablations/{self.name}.yaml"

    @property
    def table(self) -> str:
        """Where its answer will be."""
        return f"reports/{self.name}/table.md"


def comparison(
    root: Path,
    code: str,
    experiment: str | None = None,
    seeds: int = SEEDS,
    last_stage: LastStage = "pretrain",
) -> tuple[Comparison, bool]:
    """The ablation that compares the present code with another, and whether it was there before.

    It is written if it was not: with so many seeds, and for the current experiment unless one is
    named. What begins at what is checked out, such as `HEAD~2`, is written as the commit that it
    is now. Raises `VariorumError`, with nothing written, if there is no such code or experiment.
    """
    fixed = trees.commit(root, code) if trees.RELATIVE.match(code) else code
    trees.tree(root, fixed)
    short = Path(fixed).stem if fixed.endswith(trees.PATCHES) else fixed
    variant = re.sub("[^A-Za-z0-9_-]+", "-", short)
    found = Comparison(f"compare-{variant}")
    if (root / found.file).is_file():
        return found, True
    text = _written(variant, fixed, experiment or _current(root), seeds, last_stage)
    write_atomically(root / found.file, text.encode())
    try:
        load_ablation(root, found.name)
    except VariorumError:
        (root / found.file).unlink()
        raise
    return found, False


def _current(root: Path) -> str:
    """The current experiment; raises `VariorumError` if something is set beside it."""
    loaded = load_experiment(root)
    if loaded.overrides:
        settings = ", ".join(loaded.overrides)
        raise VariorumError(
            f"config/config.yaml sets {settings} beside its experiment, which ablations do not "
            "read; name an experiment (`--experiment`), or write one with these settings"
        )
    return loaded.name


def _written(variant: str, code: str, experiment: str, seeds: int, last_stage: str) -> str:
    return f"""\
# yaml-language-server: $schema=../schemas/ablation.schema.json

title: {in_yaml(f"The code that is here against {code}")}
question: What do the edits change that were made since?
experiment: {in_yaml(experiment)}
last_stage: {last_stage}
variants:
  {in_yaml(variant)}: {{code: {in_yaml(code)}}}
  {HERE}: {{}}
baseline: {in_yaml(variant)}
seeds: {in_yaml(list(range(1, seeds + 1)))}
"""


def findings(root: Path, found: Comparison) -> Iterator[str]:
    """What the table shows, in sentences."""
    lines = (root / found.table).read_text(encoding="utf-8").splitlines()
    for line in takewhile(lambda line: not line.startswith("|"), lines):
        if line.startswith(FINDING):
            yield line.removeprefix(FINDING)
