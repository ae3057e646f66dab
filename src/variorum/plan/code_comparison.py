"""Compare the present code with another by an ablation: `variorum compare main`.

It is an ablation like others, written once to `config/ablations/compare-<code>.yaml`, to be edited
and kept.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from variorum.base.atomic import write_atomically
from variorum.base.components import PACKAGE
from variorum.base.errors import VariorumError
from variorum.base.files import FolderFiles
from variorum.config.yaml_text import in_yaml
from variorum.plan import code_versions
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.loading import load_experiment
from variorum.report.ablation import sentences
from variorum.stages.registry import TRAININGS
from variorum.stages.table import placed

SEEDS = 5
HERE = "here"


@dataclass(frozen=True)
class CodeComparison:
    """Name an ablation of two states of the code."""

    name: str

    @property
    def file(self) -> str:
        """Return the path of its file."""
        return f"config/ablations/{self.name}.yaml"

    @property
    def table(self) -> str:
        """Return the path of its table."""
        return f"reports/{self.name}/table.md"


def comparison(
    root: Path,
    code: str,
    experiment: str | None = None,
    seeds: int | None = None,
    last_stage: str | None = None,
) -> tuple[CodeComparison, bool]:
    """Return the ablation that compares the present code with another, and whether it existed.

    It is written if it was not: with so many seeds, or `SEEDS`; for the current experiment unless
    one is named; and of pretraining unless the other is. What begins at what is checked out, such
    as `HEAD~2`, is written as the commit that it is now. Raises `VariorumError`, with nothing
    written, if there is no such code or experiment, or if the one that is there is of other code,
    or differs in what is asked for.
    """
    if last_stage not in (None, *TRAININGS):
        raise VariorumError(
            f"--last-stage {last_stage}: no training; name one of {', '.join(TRAININGS)}"
        )
    fixed = code_versions.commit(root, code) if code_versions.RELATIVE.match(code) else code
    code_versions.code_version(root, fixed, FolderFiles(PACKAGE))
    short = Path(fixed).stem if fixed.endswith(code_versions.PATCHES) else fixed
    name = re.sub("[^A-Za-z0-9_-]+", "-", short)
    found = CodeComparison(f"compare-{name}")
    variant = f"{name}-there" if name == HERE else name
    if (root / found.file).is_file():
        _refuse_another(root, found, fixed, experiment, seeds, last_stage)
        return found, True
    text = _written(
        variant, fixed, experiment or _current(root), seeds or SEEDS, last_stage or TRAININGS[0]
    )
    write_atomically(root / found.file, text.encode())
    try:
        load_ablation(root, found.name)
    except VariorumError:
        (root / found.file).unlink()
        raise
    return found, False


def _refuse_another(
    root: Path,
    found: CodeComparison,
    code: str,
    experiment: str | None,
    seeds: int | None,
    last_stage: str | None,
) -> None:
    """Raise `VariorumError` unless the ablation that is there is of this code, and as asked."""
    loaded = load_ablation(root, found.name)
    codes = [variant.code for variant in loaded.variants.values() if variant.code is not None]
    if code not in codes:
        raise VariorumError(
            f"{found.file} compares {' and '.join(codes) or 'no other code'}, not {code}; rename "
            "that file, or name the code by its commit"
        )
    there = loaded.settings
    for name, asked, own in (
        ("experiment", experiment, there.experiment),
        ("seeds", None if seeds is None else _seeds(seeds), there.seeds),
        ("last_stage", last_stage, there.last_stage),
    ):
        if asked not in (None, own):
            raise VariorumError(
                f"{found.file} is there, with {name} {in_yaml(own)}, not {in_yaml(asked)}; edit "
                "it, rename it, or leave out the option"
            )


def _seeds(number: int) -> tuple[int, ...]:
    return tuple(range(1, number + 1))


def _current(root: Path) -> str:
    """Return the current experiment; raises `VariorumError` if something is set beside it."""
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
seeds: {in_yaml(list(_seeds(seeds)))}
"""


def findings(root: Path, found: CodeComparison) -> list[str]:
    """Return what the table shows, in sentences."""
    return sentences.findings(placed((root / found.table).parent))
