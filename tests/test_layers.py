"""The house: which folder may import which, what stands at the top, and how long things may be."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from conftest import ROOT

PACKAGE = ROOT / "src/variorum"

ORDER = (
    ("base",),
    ("config",),
    ("identity",),
    ("store",),
    ("corpus",),
    ("tokenizer",),
    ("model",),
    ("generation",),
    ("training", "evaluation"),
    ("report",),
    ("stages",),
    ("plan",),
    ("run",),
    ("audit",),
    ("api", "snakemake"),
    ("cli",),
)
"""From the ground up: a part imports only parts of lower floors, never one beside it."""

FLOOR = {part: floor for floor, parts in enumerate(ORDER) for part in parts}
SCIENCE = ("corpus", "tokenizer", "model", "generation", "training", "evaluation")
BELOW_SCIENCE = ("base", "config")
DOORS = ("api", "snakemake", "cli")
MAY_OPEN = {"api": ("cli",)}
"""Which doors may be imported, and by whom."""

COMPONENTS = (
    "stages",
    "corpus.sources",
    "tokenizer.kinds",
    "model.attentions",
    "model.feed_forwards",
    "model.norms",
    "model.positions",
    "training.batch_orders",
    "training.optimizers",
    "training.schedules",
)
"""Folders whose files are options or stages: their names may stand twice."""

SHARED_BY_STAGES = {"stages.task", "stages.stage"}
NO_STAGES = {"stages.registry", *SHARED_BY_STAGES}
"""What stands beside the stages: its names stand once."""

MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name without `variorum.`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()
INSIDE = [name for name in MODULES if name]
FILES = [name for name in INSIDE if MODULES[name].name != "__init__.py"]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> set[str]:
    """The package's modules that a file imports, anywhere in it, without `variorum.`."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written out"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [
                n if n.removeprefix("variorum.") in MODULES else str(node.module) for n in inner
            ]
        else:
            continue
        found |= {n.removeprefix("variorum.") for n in names if n.split(".")[0] == "variorum"}
    return found


def part(module: str) -> str:
    return module.split(".")[0]


@cache
def needs(module: str) -> frozenset[str]:
    """The other modules that one imports."""
    return frozenset(imports(MODULES[module]) - {module, "variorum"})


def cycle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Nodes of a graph that form a cycle; empty if there is none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(node: str) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        path.append(node)
        for other in sorted(graph.get(node, ())):
            if found := visit(other):
                return found
        done.add(path.pop())
        return []

    return next((found for node in sorted(graph) if (found := visit(node))), [])


def test_the_reader_of_imports_sees_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(
        "import json\nfrom variorum.corpus import documents\nfrom variorum.base.errors import X\n"
        "def f():\n    from variorum.corpus.splits import split\n    import variorum.cli\n"
    )
    assert imports(file) == {"corpus.documents", "base.errors", "corpus.splits", "cli"}


def test_the_reader_of_cycles_finds_one() -> None:
    assert cycle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
    assert cycle({"a": ["b", "c"], "b": ["c"], "c": []}) == []


def test_beside_the_folders_stand_only_the_doors() -> None:
    entries = {
        path.stem
        for path in PACKAGE.iterdir()
        if path.name != "__pycache__" and not path.name.startswith(".")
    }
    assert entries == {"__init__", *FLOOR}
    flat = {path.stem for path in PACKAGE.glob("*.py")}
    assert flat == {"__init__", "api", "snakemake"}


@pytest.mark.parametrize("module", INSIDE)
def test_imports_point_downwards(module: str) -> None:
    own = part(module)
    for needed in needs(module):
        other = part(needed)
        if other != own:
            assert FLOOR[other] < FLOOR[own], f"{module} imports {needed}"
        if own in SCIENCE and other not in SCIENCE:
            assert other in BELOW_SCIENCE, f"{module} imports {needed}"
        if other in DOORS and other != own:
            assert own in MAY_OPEN.get(other, ()), f"{module} imports {needed}"


@pytest.mark.parametrize("module", [m for m in FILES if part(m) == "stages"])
def test_stages_do_not_import_each_other(module: str) -> None:
    stages = {m for m in needs(module) if part(m) == "stages"}
    assert stages <= SHARED_BY_STAGES


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert cycle({module: needs(module) for module in INSIDE}) == []


def test_no_folders_import_each_other_in_a_circle() -> None:
    """At each level: what lies side by side in a folder, files and folders alike."""
    levels: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for module in INSIDE:
        for other in needs(module):
            one, two = module.split("."), other.split(".")
            depth = next(
                (i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), None
            )
            if depth is not None:
                levels[".".join(one[:depth])][one[depth]].add(two[depth])
    for folder, graph in levels.items():
        assert cycle(graph) == [], folder


def test_init_files_import_nothing_when_imported() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        body = parsed(path).body
        imported = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))]
        if path.parent == PACKAGE:
            assert [getattr(node, "module", None) for node in imported] == ["typing"]
        elif path.parent == PACKAGE / "cli":
            assert not imported
        else:
            assert not body, path


# How long things may be


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The name and the number of lines of each function and method in a file."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_no_module_is_long() -> None:
    lengths = {m: len(MODULES[m].read_text(encoding="utf-8").splitlines()) for m in INSIDE}
    assert {m: n for m, n in lengths.items() if n > MOST_LINES} == {}


def test_no_function_is_long() -> None:
    long = [
        f"{module}.{name}: {lines}"
        for module in INSIDE
        for name, lines in functions(MODULES[module])
        if lines > MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


# A name stands once


def is_component(module: str) -> bool:
    inside = any(module.startswith(f"{folder}.") for folder in COMPONENTS)
    return inside and module not in NO_STAGES


def twice(places: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {name: where for name, where in places.items() if len(where) > 1}


def test_the_name_of_a_module_stands_once() -> None:
    places = defaultdict(list)
    for module in FILES:
        if not is_component(module):
            places[module.rpartition(".")[2]].append(module)
    assert twice(places) == {}


def test_the_name_of_a_public_class_stands_once() -> None:
    places = defaultdict(list)
    for module in FILES:
        for node in parsed(MODULES[module]).body:
            public = isinstance(node, ast.ClassDef) and not node.name.startswith("_")
            if public and not is_component(module):
                assert isinstance(node, ast.ClassDef)
                places[node.name].append(module)
    assert twice(places) == {}
