"""What the tests of `verify` share: what it finds, and damage to plan for it."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import flow
from variorum.audit.verify.integrity import Findings, verify
from variorum.audit.verify.selection import Selection, select
from variorum.base.files import sha256_of
from variorum.base.progress import Progress
from variorum.identity.spec import Ref
from variorum.store.result import CODE, COPY, MANIFEST, RUN, readable_json, sealed
from variorum.store.store import Store


def check(root: Path, *references: str, everything: bool = False) -> Findings:
    chosen = select(root, references, everything=everything)
    return verify(chosen, Progress("verify"))


def check_refs(root: Path, refs: Iterable[Ref]) -> Findings:
    """Without pages, and without planning anything."""
    return verify(Selection(Store(root), tuple(refs)), Progress("verify"))


def named(findings: Findings) -> dict[str, str]:
    """What is damaged, and how."""
    return {damage.place: damage.fault for damage in findings.damage}


def ref_of(root: Path, stage: str, place: int = 0) -> Ref:
    return flow.current(root).of_stage(stage)[place].ref


def folder_of(root: Path, stage: str, place: int = 0) -> Path:
    return Store(root).folder(ref_of(root, stage, place))


def shown(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def files_of_results(root: Path) -> list[Path]:
    """Every file of every result."""
    folders = [Store(root).folder(ref) for ref in Store(root).refs()]
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


def rewrite(path: Path, change: Callable[[Any], None]) -> None:
    """Change the data of a JSON file, written as results write it."""
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(readable_json(data), encoding="utf-8")


def rewrite_both(folder: Path, change: Callable[[Any], None]) -> None:
    """Change a manifest and its copy alike."""
    for name in (MANIFEST, COPY):
        rewrite(folder / name, change)


def rewrite_run(folder: Path, change: Callable[[Any], None]) -> None:
    """Change `run.json` and seal it again, as if it had been made so."""
    data = json.loads((folder / RUN).read_text(encoding="utf-8"))
    change(data)
    (folder / RUN).write_text(readable_json(sealed(data, sha256_of(folder / CODE))))


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
