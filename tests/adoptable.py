"""What the tests of `adopt` share: a finished project, edits of its code, and plans of both."""

import sys
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import flow
from conftest import MICRO, MICRO_DOMAIN, Project
from variorum.base.errors import VariorumError
from variorum.identity.spec import Ref
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.experiment import Node, Plan, plan_experiment
from variorum.plan.loading import load_experiment, named_experiment
from variorum.run import runner
from variorum.store.result import Result
from variorum.store.store import Store

ABLATION = """
title: Widths
question: Is wider better?
experiment: tiny
variants:
  narrow: {}
  wide: {model: {n_embd: 32}}
baseline: narrow
seeds: [1, 2]
"""

Edit = tuple[str, str, str]

SPLIT: Edit = (
    "training/loop.py",
    "        self._position.step = step\n",
    "        position = self._position\n        position.step = step\n",
)
RENAMED: Edit = ("model/attention.py", "mixed", "weighted")
NORMALIZE: Edit = ("corpus/normalize.py", "\n\n\n", "\n\n\nprint(end='')\n\n\n")
BETWEEN: Edit = (
    "training/loop.py",
    "            self._note(step)\n",
    "            self._note(step)\n            shards.weights += 0.001 * (step == 15)\n",
)


def finished_project(target: Path) -> Project:
    """The micro experiment to its report, and as the tiny experiment one without a domain."""
    project = flow.copy_project(target)
    flow.add_micro_experiment(project)
    root = project.root
    tiny = MICRO.replace(MICRO_DOMAIN, "  domain: null\n")
    (root / "config/experiments/tiny.yaml").write_text(tiny)
    (root / "config/ablations/widths.yaml").write_text(ABLATION)
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "The code before the edit")
    flow.finish(root, flow.current(root))
    flow.before(root, plan_experiment(named_experiment(root, "tiny"), root), "report")
    flow.before(root, widths(root), "table")
    return project


def source(root: Path) -> Path:
    return root / "src/variorum"


def widths(root: Path, package: Path | None = None) -> Plan:
    given = {} if package is None else {"package": package}
    return plan_ablation(load_ablation(root, "widths"), root, **given)


def edit(root: Path, *edits: Edit) -> Path:
    """Edit the project's own copy of the package, which plans are made by; gives its folder."""
    for file, old, new in edits:
        path = source(root) / file
        text = path.read_text()
        assert old in text, f"{file} holds no {old!r}"
        path.write_text(text.replace(old, new))
    return source(root)


def planned(root: Path) -> Plan:
    """The current experiment by the project's own copy of the package."""
    return plan_experiment(load_experiment(root), root, package=source(root))


def missing(root: Path, plan: Plan) -> set[str]:
    return {node.ref.stage for node in plan if not Store(root).exists(node.ref)}


def pairs(root: Path, before: Plan) -> list[tuple[Result, Result]]:
    """What the plan before an edit made, beside what serves the plan after it."""
    store = Store(root)
    after = {(node.ref.stage, node.label): node.ref for node in planned(root)}
    nodes = [node for node in before if node.ref.stage != "report"]
    return [(store.open(n.ref), store.open(after[n.ref.stage, n.label])) for n in nodes]


def run_by_the_edited_code(root: Path, node: Node) -> Result:
    runner.submit(Store(root), node.spec, node.label)
    command(root, "run", str(node.ref))
    return Store(root).open(node.ref)


def runs_by_the_edited_code(root: Path) -> pd.DataFrame:
    """`variorum.runs` as the project's own copy of the package gives it, by key."""
    script = "import sys, variorum; variorum.runs().to_csv(sys.stdout, index=False)"
    environment = {"PYTHONPATH": str(root / "src"), "PYTHONSAFEPATH": "1"}
    told = Project(root).run(sys.executable, "-c", script, environment=environment).stdout
    return pd.read_csv(StringIO(told)).set_index("key")


def command(root: Path, *arguments: str) -> str:
    """What the command prints to stderr when the project's own copy of the package runs it."""
    environment = {"PYTHONPATH": str(root / "src"), "PYTHONSAFEPATH": "1"}
    return Project(root).run("variorum", *arguments, environment=environment).stderr


def nothing_changes(root: Path, call: Callable[[], object], message: str) -> str:
    """A call that must fail with one line, and leave results and scratch as they are."""
    before = flow.files_of(root / "results")
    with pytest.raises(VariorumError, match=message) as error:
        call()
    assert flow.files_of(root / "results") == before
    assert not (root / "scratch/adopt").exists()
    assert "\n" not in str(error.value)
    return str(error.value)


def told(result: Result) -> Mapping[str, Any]:
    assert result.adopted is not None
    return result.adopted


def is_new(root: Path, ref: Ref) -> bool:
    return Store(root).open(ref).adopted is not None
