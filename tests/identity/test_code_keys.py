"""Edits of code change the keys of the stages that reach it, of those after them, and no others.

Every way that a stage can be planned is compared with what the compiler names (`oracles.reach`)
and with edits of each definition of the package (`oracles.edits`). No edited code is imported.
"""

import ast
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import pytest
from code_ways import Way, classes_of_settings, digests, nodes, way_of, ways

from conftest import Record
from oracles import edits, reach
from oracles.watching import module_of
from variorum.base.components import PACKAGE
from variorum.identity.fingerprint import fingerprint
from variorum.identity.package_code import Code, is_outside
from variorum.identity.recorded_code import is_definition

# Edits that change nothing


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package's source, to edit; whoever edits puts it back."""
    target = tmp_path_factory.mktemp("code") / "variorum"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.fixture(scope="module")
def before(package: Path) -> dict[Way, str]:
    return digests(package)


def test_a_copy_has_the_fingerprints_that_were_planned(before: dict[Way, str]) -> None:
    for node in nodes():
        assert before[way_of(node)] == node.spec.code


@pytest.mark.parametrize("edit", edits.SILENT)
def test_no_key_changes_with(edit: str, tmp_path: Path, before: dict[Way, str]) -> None:
    """Every file of the package is edited at once."""
    copy = tmp_path / "variorum"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    edited = 0
    for file in copy.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        new = edits.SILENT[edit](text)
        file.write_text(new, encoding="utf-8")
        edited += new != text
    assert edited > 40
    assert digests(copy) == before


# Edits that change something


@dataclass(frozen=True)
class Edit:
    """One of the loud edits, in one top-level statement of one file."""

    file: str
    place: int
    names: tuple[str, ...]
    kind: str
    is_constant: bool


@cache
def possible_edits() -> list[Edit]:
    """Every (definition, edit) of the package."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        module = module_of(file, PACKAGE)
        for place, statement in enumerate(ast.parse(file.read_text(encoding="utf-8")).body):
            if isinstance(statement, reach.DEFINING):
                names = tuple(f"{module}:{name}" for name in reach.names_of(statement))
                is_constant = isinstance(statement, reach.ASSIGNING)
                path = file.relative_to(PACKAGE).as_posix()
                found += [Edit(path, place, names, kind, is_constant) for kind in edits.LOUD]
    return found


@dataclass
class Counts:
    """What a series of edits did."""

    edits: int = 0
    changed: int = 0
    kept: int = 0
    undecided: int = 0


@dataclass(frozen=True)
class Bounds:
    """Definitions that a way reaches at least, and at most."""

    least: dict[Way, set[str]]
    most: dict[Way, set[str]]


@pytest.fixture(scope="module")
def bounds() -> Bounds:
    compiled = reach.Compiled(PACKAGE)
    outside = frozenset(filter(is_outside, compiled.modules))
    left_out = classes_of_settings()
    least, most = (
        {way: compiled.reached(way.roots, outside, left_out, annotations=each) for way in ways()}
        for each in (False, True)
    )
    return Bounds(least, most)


def test_fingerprints_hold_what_the_compiler_names(bounds: Bounds) -> None:
    code = Code(PACKAGE)
    for way in ways():
        sources = fingerprint(way.roots[0], way.parts, code).sources
        found = set(filter(is_definition, sources))
        assert bounds.least[way] <= found <= bounds.most[way], way


def carry_out(
    chosen: list[Edit],
    package: Path,
    before: dict[Way, str],
    bounds: Bounds,
    random: Random,
    most: int | None = None,
) -> Counts:
    """Make each edit, or the first `most` of them, by itself: it changes what it should.

    What a definition names in annotations alone may be part of a key or not.
    """
    counts = Counts()
    for edit in chosen:
        if counts.edits == most:
            break
        file = package / edit.file
        text = file.read_text(encoding="utf-8")
        new = edits.edited(text, edit.place, edit.kind, random)
        if new is None:
            continue
        file.write_text(new, encoding="utf-8")
        after = digests(package)
        file.write_text(text, encoding="utf-8")
        counts.edits += 1
        for way in before:
            differs = before[way] != after[way]
            if bounds.least[way].intersection(edit.names):
                assert differs, f"{edit} left the key of {way}"
                counts.changed += 1
            elif not bounds.most[way].intersection(edit.names):
                assert not differs, f"{edit} changed the key of {way}"
                counts.kept += 1
            else:
                counts.undecided += 1
    return counts


def test_an_edit_changes_just_the_stages_that_reach_it(
    package: Path, before: dict[Way, str], bounds: Bounds, record_property: Record
) -> None:
    random = Random(20)
    chosen = [edit for edit in possible_edits() if part_of(edit) != "the rest"]
    random.shuffle(chosen)
    counts = carry_out(chosen, package, before, bounds, random, most=40)
    tell(counts, record_property)
    assert min(counts.changed, counts.kept) > 40


def test_edits_of_every_function_and_class_outside_change_no_key(
    tmp_path: Path, before: dict[Way, str], record_property: Record
) -> None:
    copy, random, edited = tmp_path / "variorum", Random(22), 0
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file in copy.rglob("*.py"):
        if is_outside(module_of(file, copy)):
            text = file.read_text(encoding="utf-8")
            new = edits.with_every_definition_edited(text, random)
            file.write_text(new, encoding="utf-8")
            edited += new != edits.unparsed(text)
    record_property("files outside that were edited", edited)
    assert edited > 15
    assert digests(copy) == before


@pytest.mark.long
@pytest.mark.parametrize("part", ["components", "science", "stages", "constants outside"])
def test_every_edit_of_every_definition_changes_just_the_stages_that_reach_it(
    part: str, package: Path, before: dict[Way, str], bounds: Bounds, record_property: Record
) -> None:
    chosen = [edit for edit in possible_edits() if part_of(edit) == part]
    counts = carry_out(chosen, package, before, bounds, Random(21))
    tell(counts, record_property)
    assert counts.edits > 20


def part_of(edit: Edit) -> str:
    if is_outside(edit.names[0].split(":")[0]):
        return "constants outside" if edit.is_constant else "the rest"
    folder = str(Path(edit.file).parent)
    return "components" if "/" in folder else "stages" if folder == "stages" else "science"


def tell(counts: Counts, record_property: Record) -> None:
    record_property("edits of code", counts.edits)
    record_property("keys that had to change, and did", counts.changed)
    record_property("keys that had to stay, and did", counts.kept)
