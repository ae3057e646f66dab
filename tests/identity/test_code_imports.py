"""What runs on import is in keys, and new code changes the keys of later stages."""

import shutil
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from code_ways import planned, plans, project_root, ways

from oracles.reach import Compiled
from variorum.base.components import PACKAGE
from variorum.base.errors import VariorumError
from variorum.base.machine import Machine
from variorum.identity.fingerprint import Fingerprint, fingerprint
from variorum.identity.modules import LOOSE
from variorum.identity.package_code import Code, is_outside
from variorum.identity.recorded_code import is_definition
from variorum.plan import current_code
from variorum.plan.experiment import Node
from variorum.run import runner
from variorum.stages.registry import STAGES
from variorum.store.store import Store


def test_what_runs_on_import_counts_in_just_the_stages_that_import_it(tmp_path: Path) -> None:
    """Every module of the package gets a statement that runs on import."""
    copy = tmp_path / "variorum"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file in copy.rglob("*.py"):
        file.write_text(file.read_text(encoding="utf-8") + "\nprint()\n", encoding="utf-8")
    code, compiled = Code(copy), Compiled(PACKAGE)
    for way in ways():
        sources = fingerprint(way.roots[0], way.parts, code).sources
        found = {name.split(":")[0] for name in sources if name.endswith(LOOSE)}
        late = set().union(*map(compiled.imported_late, filter(is_definition, sources)))
        # `corpus.source_kinds` also finds every kind of source by name; settings choose one.
        at_once = imported_by(frozenset(root.split(":")[0] for root in way.roots))
        assert len(at_once) > 3
        roots = {root.split(":")[0] for root in way.roots}
        assert compiled.imported_at_once(roots, is_outside) <= found & at_once, way
        assert found <= at_once | imported_by(frozenset(late)), way


@cache
def imported_by(modules: frozenset[str]) -> set[str]:
    """Modules of the package, not those outside, that importing these in a fresh one brings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in sys.modules if name.split(".")[0] == "variorum"]:
            patch.delitem(sys.modules, name)
        for module in modules:
            import_module(module)
        found = {name for name in sys.modules if name.split(".")[0] == "variorum"}
        for name in found:
            del sys.modules[name]
    return {name for name in found if not is_outside(name)}


@pytest.mark.parametrize("stage", STAGES)
def test_new_code_changes_the_keys_of_its_stage_and_of_those_after_it(
    stage: str, package_copy: Path
) -> None:
    file = package_copy / f"stages/{stage}.py"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("    settings = ", "    edited = settings = ", 1) + "\nprint()\n")
    edited = planned(project_root(), package_copy)
    for old, new in zip(plans(), edited, strict=True):
        for above, below in zip(old, new, strict=True):
            assert (above.ref != below.ref) == (stage in stages_up_to(above)), above


def test_what_runs_is_imported_before_its_code_is_compared_with_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit between the two would run under a key that knows nothing of it."""
    did: list[str] = []
    node, project = plans()[0].of_stage("download")[0], Store(tmp_path)

    def look(*arguments: Any) -> Fingerprint:
        did.append("look")
        if did.count("look") > 1:
            raise VariorumError("enough")
        return node.code

    monkeypatch.setattr(current_code, "import_module", did.append)
    monkeypatch.setattr(current_code, "fingerprint", look)
    runner.submit(project, node.spec, node.label)
    with pytest.raises(VariorumError, match="enough"):
        runner.run(project, node.ref, Machine())
    modules = {name.split(":")[0] for name in node.code.sources if name.startswith("variorum.")}
    assert did == ["look", *sorted(modules), "look"]


def stages_up_to(node: Node) -> set[str]:
    return {node.ref.stage}.union(*(stages_up_to(each) for each in node.upstream.values()))
