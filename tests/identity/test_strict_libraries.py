"""Versions of libraries are part of keys where an experiment is strict about them."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from code_ways import nodes, planned, plans, project_root

import flow
from variorum.base import machine
from variorum.base.errors import VariorumError
from variorum.plan.experiment import Node
from variorum.store.store import Store


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make it look as if another version of a library were installed."""

    def pretend(library: str) -> None:
        installed = machine.version
        monkeypatch.setattr(
            machine, "version", lambda name: "99.0" if name == library else installed(name)
        )

    return pretend


@pytest.fixture
def strict_root(tmp_path: Path) -> Path:
    """The same project, whose experiments are strict about libraries."""
    root = tmp_path / "strict"
    shutil.copytree(
        project_root(), root, ignore=shutil.ignore_patterns("results", ".git", "scratch")
    )
    for file in (root / "config/experiments").glob("*.yaml"):
        file.write_text(file.read_text(encoding="utf-8") + "\nstrict_libraries: true\n")
    return root


@pytest.mark.parametrize("library", ["torch", "ftfy", "scipy", "matplotlib"])
def test_in_strict_mode_a_new_version_changes_the_keys_of_what_uses_it_and_of_what_follows(
    strict_root: Path, newer: Any, library: str
) -> None:
    before = planned(strict_root)
    newer(library)
    for old, new in zip(before, planned(strict_root), strict=True):
        downloads_alone = not old.of_stage("pretrain")
        used = any(uses(node, library) for node in old)
        assert used or library == "scipy" or downloads_alone
        for above, below in zip(old, new, strict=True):
            assert (above.ref != below.ref) == uses(above, library), above


def uses(node: Node, library: str) -> bool:
    """Whether a node, or anything that it is made from, uses a library."""
    return library in node.code.libraries or any(
        uses(needed, library) for needed in node.upstream.values()
    )


def test_in_strict_mode_a_new_python_changes_every_key(
    strict_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned(strict_root)
    monkeypatch.setattr("platform.python_version_tuple", lambda: ("3", "99", "0"))
    for old, new in zip(before, planned(strict_root), strict=True):
        assert not old.nodes.keys() & new.nodes.keys()


def test_else_a_new_version_changes_no_key(newer: Any) -> None:
    newer("torch")
    assert [list(plan.nodes) for plan in planned(project_root())] == [
        list(plan.nodes) for plan in plans()
    ]


def test_strict_results_say_their_versions_and_others_say_none(strict_root: Path) -> None:
    strict = planned(strict_root)[0]
    for plan, root in ((strict, strict_root), (plans()[0], project_root())):
        node = flow.before(root, plan, "tokenizer").upstream["base"]
        manifest = Store(root).open(node.ref).manifest
        versions = machine.versions(node.code.libraries)
        assert versions.keys() == {"python", "ftfy", "numpy", "datasketch"}
        assert manifest["spec"].get("libraries") == (versions if plan is strict else None)


def test_a_spec_that_was_planned_with_another_version_is_refused(
    strict_root: Path, newer: Any
) -> None:
    node = flow.before(strict_root, planned(strict_root)[0], "normalize")
    newer("ftfy")
    with pytest.raises(VariorumError, match=f"libraries of normalize changed after {node.ref}"):
        flow.make(strict_root, node)
    assert not Store(strict_root).exists(node.ref)


def test_every_library_that_a_stage_uses_has_a_version_that_its_result_tells() -> None:
    used = set().union(*(node.code.libraries for node in nodes()))
    assert {"torch", "numpy", "jinja2", "requests", "ftfy"} <= used
    assert machine.versions(used).keys() == used | {"python"}
    assert {name for name, found in machine.description()["libraries"].items() if found} >= used
