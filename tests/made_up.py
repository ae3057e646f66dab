"""Results that nothing computed, under their real keys: many in no time, for tests of the shelves.

The project that holds them has one experiment, `micro`, and no ablation.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import flow
from conftest import Project, add_micro_experiment, copy_project
from variorum.audit.verify.selection import with_upstream
from variorum.base.components import PACKAGE
from variorum.base.files import sha256_of
from variorum.identity.spec import Ref, Spec
from variorum.plan.experiment import Node, Plan, plan_experiment
from variorum.plan.loading import load_experiment
from variorum.stages.registry import BUNDLED, BUNDLING, STAGES, TRACKED
from variorum.stages.stage import Rerun
from variorum.store import restoring, sharing
from variorum.store.result import CODE, MANIFEST, RUN
from variorum.store.store import Store

BEGUN = "2026-01-02T03:04:05+00:00"

ABLATION = """
title: Widths
question: Does width matter?
experiment: micro
last_stage: pretrain
corpora: [base]
variants:
  narrow: {model: {n_embd: 16}}
  wide: {model: {n_embd: 32}}
baseline: narrow
seeds: [1, 2]
"""


def project(target: Path) -> Project:
    """A project with one small experiment, committed on `main`, without results."""
    made = copy_project(target)
    add_micro_experiment(made)
    for file in (target / "config/experiments").glob("*.yaml"):
        if file.stem != "micro":
            file.unlink()
    shutil.rmtree(target / "config/ablations")
    commit(made)
    return made


def commit(project: Project) -> None:
    """Commit all that git does not ignore."""
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "State")


def change(root: Path, **settings: Any) -> None:
    """Set the current experiment to `micro` with these changes."""
    lines = ["experiment: micro", *(f"{name}: {value}" for name, value in settings.items())]
    (root / "config/config.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def branch(project: Project, name: str, **settings: Any) -> Plan:
    """Commit a branch with another current experiment, and return to where it began.

    Gives what that branch plans.
    """
    project.run("git", "switch", "--quiet", "--create", name)
    change(project.root, **settings)
    commit(project)
    plan = flow.current(project.root)
    project.run("git", "switch", "--quiet", "-")
    return plan


def planned_by(root: Path, package: Path = PACKAGE) -> Plan:
    """The plan of the current experiment by another version of the package."""
    return plan_experiment(load_experiment(root), root, package=package)


def make(root: Path, nodes: Iterable[Node], *, begun: str = BEGUN, kernels: str = "") -> None:
    """Publish a result for each node, its upstreams being there.

    Other `kernels` make other bytes, except where every platform makes the same.
    """
    store = Store(root)
    for node in nodes:
        if store.exists(node.ref):
            continue
        output = store.scratch(node.ref) / "output"
        output.mkdir(parents=True)
        (output / "content.txt").write_text(f"{node.label} {node.ref}\n" * 50, encoding="utf-8")
        if node.ref.stage == "table":
            for name in STAGES["table"].products:
                (output / name).write_text(f"{node.label}\n", encoding="utf-8")
        if kernels and STAGES[node.ref.stage].rerun is not Rerun.NOTHING:
            loss = 2.0 + len(kernels) / 10_000
            (output / "metrics.json").write_text(json.dumps({"chosen_val_loss": loss}))
            (output / "metrics.csv").write_text(f"step,val_loss\n1,{loss}\n")
        inputs = {name: store.open(ref) for name, ref in node.spec.upstream.items()}
        if node.ref.stage in BUNDLING:
            small = [r.ref for r in inputs.values() if r.ref.stage in BUNDLED]
            restoring.bundle(store, small, output)
        run = {"label": node.label, "begun": begun, "seconds": 12.34}
        run |= {"cpu_capability": kernels} if kernels else {}
        store.publish(node.spec, output, inputs, {RUN: run, CODE: {}})


def share(root: Path) -> None:
    """Put the pins of all results where git sees them."""
    store = Store(root)
    sharing.share(store, with_upstream(store, store.refs()), TRACKED)


def adopted(root: Path, old: Ref, **note: str) -> Ref:
    """An old result's files under a key of other code, with a note that they were adopted."""
    store = Store(root)
    result = store.open(old)
    spec = Spec(old.stage, result.spec.settings, result.spec.upstream, "0" * 64)
    output = store.scratch(spec.ref) / "output"
    for name in result.manifest["files"]:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(result.file(name), output / name)
    inputs = {name: store.open(ref) for name, ref in spec.upstream.items()}
    told = {"from": str(old), "manifest_sha256": sha256_of(result.folder / MANIFEST), **note}
    store.publish(spec, output, inputs, {RUN: result.run, CODE: {}}, told)
    return spec.ref
