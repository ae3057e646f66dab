"""Runs plans in this process, stage by stage, as Snakemake's jobs do in theirs.

A result is a function of its key, so what one test had made is copied for all others, in this run
of tests and in later ones (`made_once`). So are projects that commands make (`made_by_commands`).
"""

import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cached
from conftest import Project, add_micro_experiment, copy_project, template
from variorum.base.files import COMPILED, sha256_of
from variorum.base.machine import Machine
from variorum.identity.spec import Ref
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.experiment import Node, Plan, plan_experiment
from variorum.plan.loading import load_experiment
from variorum.run import runner
from variorum.run.publish import REPORT_FILES, publish
from variorum.store.result import Result
from variorum.store.store import Store

POSITIONS = """
title: Position encodings
question: Learned or rotary?
experiment: micro
variants:
  learned: {model: {positions: learned}}
  rotary: {model: {positions: rotary}}
baseline: learned
seeds: [1, 2]
"""


def current(root: Path, **overrides: Any) -> Plan:
    """The plan of the current experiment of the project at `root`."""
    return plan_experiment(load_experiment(root, overrides), root)


def make(root: Path, node: Node, log: Path | None = None, machine: Machine | None = None) -> Result:
    """Hand one node over and run it."""
    store = Store(root)
    runner.submit(store, node.spec, node.label)
    return runner.run(store, node.ref, machine or Machine(), log)


def finish(root: Path, plan: Plan) -> None:
    """Have everything that a plan holds."""
    for node in plan:
        made_once(root, node)


def before(root: Path, plan: Plan, stage: str) -> Node:
    """Have what the plan needs before its first node of `stage`, which is returned."""
    for node in plan:
        if node.ref.stage == stage:
            return node
        made_once(root, node)
    raise LookupError(stage)


def with_inputs(root: Path, node: Node) -> None:
    """Have a node and all that it is made from, and nothing else."""
    for needed in node.upstream.values():
        with_inputs(root, needed)
    made_once(root, node)


def made_once(root: Path, node: Node) -> None:
    """Run one node, or copy what any test made of it, under the same label."""
    store = Store(root)
    if store.exists(node.ref):
        return
    if _is_own(node) or not cached.fetch(entry(node), store.folder(node.ref)):
        make(root, node)
        keep(root, node)


def keep(root: Path, node: Node) -> None:
    """Let other tests copy a node's result."""
    if not _is_own(node):
        cached.keep(entry(node), Store(root).folder(node.ref))


def _is_own(node: Node) -> bool:
    """Whether a result belongs to the project that asked for it."""
    return bool(node.notes or node.version)


def entry(node: Node) -> str:
    """The name of a node's result in the cache.

    It counts all sources behind the result, as results record docstrings, too, and keys do not.
    """
    sources: dict[str, str] = {}
    todo = [node]
    while todo:
        each = todo.pop()
        if str(each.ref) not in sources:
            sources[str(each.ref)] = json.dumps(each.code.sources, sort_keys=True)
            todo += each.upstream.values()
    return cached.name_of(cached.writers(), str(node.ref), node.label, json.dumps(sources))


def finished_project(target: Path) -> Project:
    """The micro experiment, run to its report."""
    project = copy_project(target)
    add_micro_experiment(project)
    finish(project.root, current(project.root))
    return project


def finished_ablation(target: Path) -> Project:
    """The micro experiment and the ablation `positions` of it, to the end, with pages in place."""
    project = finished_project(target)
    (target / "config/ablations/positions.yaml").write_text(POSITIONS, encoding="utf-8")
    ablation = plan_ablation(load_ablation(target, "positions"), target)
    finish(target, ablation)
    _place(target, current(target).last.ref, target / "results/finetune", REPORT_FILES)
    publish(Store(target), ablation.last.ref, target / "reports/positions")
    return project


def _place(root: Path, ref: Ref, folder: Path, names: tuple[str, ...]) -> None:
    """Put the pages of a report or table where Snakemake does."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(Store(root).folder(ref) / name, folder / name)


def made_by_commands(
    folder: Path, make: Callable[[Path], object], *files: Path, case: str = ""
) -> Path:
    """Have `make` fill a new folder by whole commands, or copy what it filled one with before.

    It is called anew when any file of a project changes or moves, and when `made_by_function`
    calls anew.
    """
    project = template()
    files_of_it = sorted(path for path in project.rglob("*") if COMPILED not in path.parts)
    digest = cached.digest_of_files(files_of_it, project)
    return made_by_function(folder, make, *files, case=f"{digest} {case}")


def made_by_function(
    folder: Path, make: Callable[[Path], object], *files: Path, case: str = ""
) -> Path:
    """Have `make` fill a new folder, or copy what it filled one with before.

    It is called anew when its file changes, a file of tests that this one or that imports, any of
    `files`, or the libraries. `case` names what else it is called with.
    """
    tests = {*map(Path, map(inspect.getfile, (make, made_by_function)))}
    own = sorted(set().union(*map(cached.imported_tests, tests)))
    lock = cached.ROOT / "requirements.lock"
    digest = cached.digest_of_files([lock, *own, *files])
    name = cached.name_of("folder", digest, make.__qualname__, case)
    if not cached.fetch(name, folder):
        make(folder)
        cached.keep(name, folder)
    return folder


def copied(project: Project, target: Path) -> Path:
    """A copy of a project, to change; without its repositories, and its code is the installed."""
    shutil.copytree(project.root, target, ignore=shutil.ignore_patterns("src", ".git", ".dvc"))
    return target


def files_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path."""
    return {
        file.relative_to(folder).as_posix(): sha256_of(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
