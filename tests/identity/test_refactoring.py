"""Moving and renaming code moves no key: identity is what the code says, not where it stands.

Random refactorings of a copy of the package, which is never imported (`oracles.refactor`): every
stage's fingerprint stays. An edit among them changes just what it would change without them.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

import pytest
from code_ways import classes_of_settings

from conftest import Record
from oracles.refactor import Package
from variorum.base.components import CONTRACTS, PACKAGE, options
from variorum.identity.fingerprint import fingerprint
from variorum.identity.package_code import Code, is_outside
from variorum.stages.registry import STAGES

PARTS = [(folder, option) for folder in CONTRACTS for option in options(folder)]
ASKED = {"run", *(name for names in CONTRACTS.values() for name in names)}
"""Names that stages and components are known by; a contract, as a setting's name is."""


@cache
def known_by_name() -> frozenset[str]:
    """Names whose definitions no key holds, so that code which uses them is known by them."""
    return frozenset(name.partition(":")[2] for name in classes_of_settings()) | ASKED


def digests(package: Path) -> dict[str, str]:
    """Every stage's, with every component, so that all code that can be reached is."""
    code = Code(package)
    return {
        stage: fingerprint(f"variorum.stages.{stage}:run", PARTS, code).digest for stage in STAGES
    }


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return digests(PACKAGE)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    target = tmp_path / "variorum"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def enters_keys(module: str) -> bool:
    return not is_outside(module)


def movable(package: Package) -> list[str]:
    """Modules that enter keys and are not known by their name, as stages and components are."""
    known = {f"variorum.{folder.replace('/', '.')}" for folder in (*CONTRACTS, "stages")}
    return [
        module
        for module in package.trees
        if module not in package.packages and module.rpartition(".")[0] not in known
    ]


def refactorings(package: Package, random: Random) -> Iterator[str]:
    """Do one refactoring after the other; yields what kind each was."""
    number = 0
    while True:
        number += 1
        module = random.choice(movable(package))
        folder = module.rpartition(".")[0]
        names = [name for name in package.definitions(module) if name not in known_by_name()]
        match random.choice(("rename", "move", "split", "rename module", "merge")):
            case "rename" if names:
                name = random.choice(names)
                new = f"{'_' if random.random() < 0.5 else ''}Renamed{number}"
                if package.rename(module, name, new):
                    yield "renamed definitions"
            case "move" | "split" as kind if names:
                others = [m for m in movable(package) if m.rpartition(".")[0] == folder != module]
                target = random.choice(others) if kind == "move" else f"{folder}.new_{number}"
                name, passed_on = random.choice(names), random.random() < 0.5
                if target != module and package.move(module, name, target, passed_on=passed_on):
                    yield "moved definitions" if kind == "move" else "split modules"
            case "rename module":
                package.rename_module(module, f"{folder}.renamed_{number}")
                yield "renamed modules"
            case "merge":
                others = [m for m in movable(package) if m.rpartition(".")[0] == folder]
                target = random.choice(others)
                if target != module and package.merge(module, target):
                    yield "merged modules"


@pytest.mark.parametrize(
    ("seed", "most"), [(0, 30), *(pytest.param(n, 400, marks=pytest.mark.long) for n in (1, 2, 3))]
)
def test_refactoring_moves_no_key(
    seed: int, most: int, copy: Path, before: dict[str, str], record_property: Record
) -> None:
    package, done = Package(copy, enters_keys), Counter[str]()
    for kind in refactorings(package, Random(seed)):
        done[kind] += 1
        if done.total() >= most:
            break
    package.save()
    for kind, count in done.items():
        record_property(kind, count)
    assert digests(copy) == before


def test_an_edit_among_refactorings_is_seen(copy: Path, before: dict[str, str]) -> None:
    file = copy / "model/gpt.py"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("INIT_STD = 0.02", "INIT_STD = 0.03"), encoding="utf-8")
    alone = digests(copy)
    package = Package(copy, enters_keys)
    for number, _ in enumerate(refactorings(package, Random(9))):
        if number == 15:
            break
    package.save()
    assert digests(copy) == alone
    changed = {stage for stage in before if before[stage] != alone[stage]}
    assert {"pretrain", "finetune", "evaluate"} <= changed
    assert not {"download", "normalize", "tokenizer", "encode"} & changed
