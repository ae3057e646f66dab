"""What the tests of `verify --rerun` share: making results again, here or as if elsewhere."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import flow
from conftest import SESSION, Project
from variorum.audit.verify.rerun import Refused, RerunOutcome, rerun_all
from variorum.audit.verify.selection import select
from variorum.base.files import sha256_of
from variorum.base.machine import Machine
from variorum.evaluation.bits import Scores
from variorum.identity.spec import Ref
from variorum.stages.task import Task
from variorum.store.result import CODE, RUN, readable_json, sealed
from variorum.store.store import Store


def costlier(scores: Scores, factor: float) -> Scores:
    """Scores of which every token costs so much more."""
    return replace(scores, nats=factor * scores.nats)


def files_but_locks(root: Path) -> dict[str, str]:
    """Every file with its hash, without the empty ones that locks are held on."""
    files = flow.files_of(root).items()
    return {name: digest for name, digest in files if not name.startswith("scratch/locks/")}


def again(root: Path, *references: str) -> list[RerunOutcome | Refused]:
    """Make results again; nothing of the project may change by it."""
    before = files_but_locks(root)
    outcomes = list(rerun_all(select(root, references), Machine(processes=2)))
    assert files_but_locks(root) == before
    return outcomes


def one(root: Path, reference: str) -> RerunOutcome:
    (outcome,) = again(root, reference)
    assert isinstance(outcome, RerunOutcome)
    return outcome


def refused(root: Path, reference: str) -> str:
    (outcome,) = again(root, reference)
    assert isinstance(outcome, Refused)
    assert not outcome.passed
    return outcome.reason


def ref_of(root: Path, stage: str, place: int = 0) -> Ref:
    return flow.current(root).of_stage(stage)[place].ref


def folder_of(root: Path, stage: str, place: int = 0) -> Path:
    return Store(root).folder(ref_of(root, stage, place))


def key_of(root: Path, stage: str) -> str:
    """A reference to the first result of a stage that has several."""
    return str(ref_of(root, stage))


def details(outcome: RerunOutcome) -> dict[str, tuple[str, ...]]:
    return {each.name: each.details for each in outcome.comparison.differing}


def made_elsewhere(folder: Path, library: str | None = None) -> None:
    """Make a result look as if another processor, or another version of a library, made it."""
    run = json.loads((folder / RUN).read_text(encoding="utf-8"))
    if library is None:
        run["processor"] = "A Processor (avx9)"
    else:
        run["libraries"][library] = "1.0"
    (folder / RUN).write_text(readable_json(sealed(run, sha256_of(folder / CODE))))


def changed_output(module: Any, change: Callable[[Path], None]) -> Callable[[Task], None]:
    """A stage's function that changes its output at the end.

    The output is computed once for all tests, so nothing else that decides it may be patched.
    """
    run = module.run

    def changed(task: Task) -> None:
        computed = Path(os.environ[SESSION]) / f"computed/{task.spec.ref}"
        if not computed.exists():
            run(task)
            shutil.copytree(task.output, computed)
        else:
            shutil.copytree(computed, task.output, dirs_exist_ok=True)
        change(task.output)

    return changed


def by_the_copy(
    project: Project, package: Path, *words: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`variorum verify --rerun` by a copy of the package."""
    extra = {"PYTHONPATH": str(package.parent), **(environment or {})}
    script = "import sys; from variorum.cli import main; sys.argv[0] = 'variorum'; main()"
    return project.run(
        sys.executable, "-c", script, "verify", "--rerun", *words, check=False, environment=extra
    )
