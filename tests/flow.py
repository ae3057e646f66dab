"""Runs plans in this process, stage by stage, as Snakemake's jobs do in theirs."""

from pathlib import Path
from typing import Any

from conftest import Project, add_micro_experiment, copy_project
from variorum import runner
from variorum.experiments import load_experiment
from variorum.machine import Machine
from variorum.plan import Node, Plan, plan_experiment
from variorum.store import Result, Store, sha256_of


def current(root: Path, **overrides: Any) -> Plan:
    """The plan of the current experiment of the project at `root`."""
    return plan_experiment(load_experiment(root, overrides), root)


def make(root: Path, node: Node, log: Path | None = None) -> Result:
    """Hand one node over and run it."""
    store = Store(root)
    runner.hand_over(store, node.spec, node.label)
    return runner.run(store, node.ref, Machine(), log)


def finish(root: Path, plan: Plan) -> None:
    """Run everything that a plan holds."""
    for node in plan:
        make(root, node)


def before(root: Path, plan: Plan, stage: str) -> Node:
    """Run the plan up to its first node of `stage`, which is returned."""
    for node in plan:
        if node.ref.stage == stage:
            return node
        make(root, node)
    raise LookupError(stage)


def finished_project(target: Path) -> Project:
    """The micro experiment, run to its report."""
    project = copy_project(target)
    add_micro_experiment(project)
    finish(project.root, current(project.root))
    return project


def files_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path."""
    return {
        file.relative_to(folder).as_posix(): sha256_of(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
