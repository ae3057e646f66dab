"""A source that has changed since a result was made is said, and is no damage."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from verifying import (
    check,
    ref_of,
)

import flow
from conftest import Project
from variorum.audit.verify.integrity import Findings
from variorum.corpus.sources import python_package
from variorum.identity.spec import Spec
from variorum.plan.source_lock import LOCK
from variorum.store.result import CODE, RUN
from variorum.store.store import Store


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment and an ablation of it, run to the end, with their pages in place."""
    return flow.finished_ablation(tmp_path_factory.mktemp("verify") / "project")


@pytest.fixture
def root(finished: Project, tmp_path: Path) -> Path:
    """A copy of the finished project, to change."""
    return flow.copied(finished, tmp_path / "project")


def test_a_source_that_changed_since_is_said_and_is_no_damage(root: Path) -> None:
    ref = ref_of(root, "download")
    (root / "texts/base/03.txt").write_text("another sun\n")
    findings = check(root, str(Store(root).folder(ref)))
    assert findings.damage == ()
    (note,) = findings.notes
    assert note.startswith(f"the source of {ref} has changed since (SHA-256 ")
    assert note.endswith("a new run would use the new bytes and get another key")


def test_a_source_that_is_gone_is_said_and_is_no_damage(root: Path) -> None:
    ref = ref_of(root, "download")
    folder = str(Store(root).folder(ref))
    shutil.rmtree(root / "texts/base")
    findings = check(root, folder)
    assert findings.damage == ()
    assert findings.notes[0].startswith(f"the source of {ref} is no longer here: source.path: ")


URL = "https://example.org/text.txt"


def downloaded(root: Path, source: dict[str, Any]) -> Findings:
    """What is found about a result of a source of another kind."""
    store = Store(root)
    spec = Spec("download", {"source": source}, {}, "c0de")
    output = store.scratch(spec.ref) / "output"
    output.mkdir(parents=True, exist_ok=True)
    (output / "documents.jsonl").write_text("{}\n")
    store.publish(spec, output, {}, {RUN: {}, CODE: {}})
    return check(root, str(store.folder(spec.ref)))


def package(sha256: str) -> dict[str, Any]:
    return {
        "kind": "python-package",
        "package": "tqdm",
        "version": "1.0",
        "part": "prose",
        "sha256": sha256,
    }


def test_an_installed_package_is_compared_with_its_checksum(project: Project) -> None:
    root = project.root
    assert downloaded(root, package(python_package.digest("tqdm"))).notes == ()
    assert "has changed since" in downloaded(root, package("0" * 64)).notes[0]
    gone = {**package("0" * 64), "package": "no_such_package"}
    assert "is no longer here" in downloaded(root, gone).notes[0]


def test_an_address_is_compared_with_the_lock_or_what_was_downloaded(project: Project) -> None:
    root = project.root
    source = {"kind": "url", "url": URL, "sha256": "0" * 64}
    assert downloaded(root, source).notes == (), "nothing here tells"
    cached = root / "scratch/downloads" / hashlib.sha256(URL.encode()).hexdigest()[:16]
    cached.mkdir(parents=True)
    (cached / "text.txt").write_text("another text")
    assert "has changed since" in downloaded(root, source).notes[0]
    (root / LOCK).write_text(f'"{URL}": {{sha256: "{"0" * 64}", bytes: 1}}\n')
    assert downloaded(root, source).notes == (), "the lock counts"
    (root / LOCK).write_text(f'"{URL}": {{sha256: "{"1" * 64}", bytes: 1}}\n')
    assert (
        "has changed since (SHA-256 111111111111…, it was 000" in downloaded(root, source).notes[0]
    )
