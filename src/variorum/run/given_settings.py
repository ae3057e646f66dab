"""Read what Snakemake was given: `--config` as it was typed, `--configfile`, and other options.

Snakemake reads both in YAML 1.1, and what is nested as text alone: 0200 is 128 there, and "true" in
quotes is no text. So both are read again, by the reader of `config/config.yaml`.
"""

import re
import sys
from collections.abc import Iterable, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError
from variorum.config.setting_layers import NOWHERE, Layered, merged, read_layers, without
from variorum.config.yaml_text import read_typed
from variorum.plan.loading import on_command_line

ALONE = (
    "settings of a command line ({}) change the current experiment alone; leave them out, or "
    "change the file that this is planned from"
)
"""What to say where they would decide nothing."""

_SPELLED = {
    "--config": "--config(=.*)?|-[aDfFklnpSt]*C.*",  # short options without a value may precede C
    "--configfile": "--configfiles?(=.*)?",
}

WHOLE_GRAPH = "graph"
"""`--config graph=whole` shows finished results with what they needed, for `--rulegraph` and
`--report`."""


def given_settings(root: Path, given: Any, is_command: bool) -> tuple[Layered, bool]:
    """Return the settings that Snakemake was given, and whether it shows the whole graph.

    `given` are its `ConfigSettings`; without `is_command` somebody calls it from Python. Raises
    `VariorumError`.
    """
    if is_command:
        _refuse_repeated()
    files = NOWHERE
    for file in given.configfiles:
        files = merged(files, read_layers(root, _shown(root, file)))
    typed = on_command_line(_typed(given.config_args) if is_command else given.config)
    layers = merged(files, typed)
    return without(layers, WHOLE_GRAPH), layers.values.get(WHOLE_GRAPH) == "whole"


def _refuse_repeated() -> None:
    """Raise `VariorumError` if an option stands twice: Snakemake reads the last one alone."""
    words = [*takewhile(lambda word: word != "--", sys.argv[1:])]
    for option, spelled in _SPELLED.items():
        if sum(re.fullmatch(spelled, word, re.DOTALL) is not None for word in words) > 1:
            raise VariorumError(
                f"{option} is given twice, and Snakemake reads the last one alone; write all after "
                f"one {option}"
            )


def _typed(words: list[str]) -> Mapping[str, Any]:
    """Return the settings of `--config`; raises `VariorumError` for words of a profile."""
    for word in words:
        if not any(argument.endswith(word) for argument in sys.argv):
            raise VariorumError(
                f"{word}: Snakemake takes this from a profile, and reads numbers there in another "
                "way than config/config.yaml is read; write settings there"
            )
    return read_typed(words)


def _shown(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)


def is_command() -> bool:
    """Check whether Snakemake's command runs, so that `sys.argv` has its words."""
    program = Path(sys.argv[0])
    return program.stem == "snakemake" or program.parent.name == "snakemake"


def refuse_unshared(usage: Iterable[Any]) -> None:
    """Raise `VariorumError` if jobs would not see the folder of the project.

    `usage` are the members of Snakemake's `SharedFSUsage` that hold.
    """
    shared = {each.name for each in usage}
    if lacking := sorted({"PERSISTENCE", "INPUT_OUTPUT", "SOURCES"} - shared):
        raise VariorumError(
            "jobs find their plan and each other's results in the project's folder, which is not "
            f"shared with them ({', '.join(lacking)}); use an executor on a shared file system, "
            "such as Slurm's, and no --shared-fs-usage"
        )


def refuse_to_pack(stale: list[str]) -> None:
    """Raise `VariorumError` before `--report` packs a page of other settings or code."""
    words = [word.partition("=")[0] for word in sys.argv]
    if stale and "--report" in words and "--report-after-run" not in words:
        raise VariorumError(
            f"{stale[0]} is not of the current settings and code, so --report would pack another "
            "page; first run the same command without --report, which puts it in place"
        )
