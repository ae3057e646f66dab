"""What tests keep for later runs of them is what would be made now, whole, or absent."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

import cached
import flow
from conftest import Project, add_micro_experiment, copy_project
from variorum.base.components import PACKAGE
from variorum.run import runner
from variorum.store.store import Store


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv(cached.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that were run, in their order."""
    ran: list[str] = []
    make = runner.run

    def run(store: Store, ref: object, *rest: object) -> object:
        ran.append(str(ref))
        return make(store, ref, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "run", run)
    return ran


def test_a_result_is_made_once_and_is_the_same_in_another_project(
    empty: Path, micro: Project, tmp_path: Path, runs: list[str]
) -> None:
    other = copy_project(tmp_path / "other")
    add_micro_experiment(other)
    for root in (micro.root, other.root):
        flow.before(root, flow.current(root), "tokenizer")
    assert len(runs) == len(set(runs)) > 2
    assert flow.files_of(micro.root / "results") == flow.files_of(other.root / "results")


def test_a_result_with_another_key_or_label_is_another_entry() -> None:
    names = [
        cached.name_of("writers", "pretrain/0", "micro"),
        cached.name_of("writers", "pretrain/1", "micro"),
        cached.name_of("writers", "pretrain/0", "other"),
        cached.name_of("others", "pretrain/0", "micro"),
        cached.name_of("writers", "pretrain/0micro", ""),
    ]
    assert len(set(names)) == len(names)


def test_a_result_of_other_sources_is_another_entry_although_its_key_is_the_same(
    micro: Project,
) -> None:
    nodes = flow.current(micro.root)
    (download, *_), (normalize, *_) = map(nodes.of_stage, ("download", "normalize"))
    sources = download.code.sources
    first = next(iter(sources))
    other = replace(download.code, sources={**sources, first: f"{sources[first]}  # reworded"})
    edited = replace(download, code=other)
    assert edited.ref == download.ref
    assert flow.entry(edited) != flow.entry(download)
    after = replace(normalize, upstream=dict.fromkeys(normalize.upstream, edited))
    assert flow.entry(after) != flow.entry(normalize)


def test_code_that_no_key_holds_and_that_writes_results_is_part_of_the_name() -> None:
    """Keys hold the code of stages; the rest must be among what names an entry."""
    files = {
        file.relative_to(PACKAGE).as_posix() for file in cached.imported(Path(runner.__file__))
    }
    assert {
        "run/runner.py",
        "store/store.py",
        "base/machine.py",
        "config/canonical.py",
        "identity/fingerprint.py",
    } <= files
    assert "cli/command.py" not in files


def test_an_edit_of_what_writes_results_gives_another_name(tmp_path: Path) -> None:
    package = tmp_path / "variorum"
    package.mkdir()
    (package / "writes.py").write_text("from variorum import helps\n")
    (package / "helps.py").write_text("def help():\n    import variorum.late\n")
    (package / "late.py").write_text("LATE = 1\n")
    (package / "idle.py").write_text("IDLE = 1\n")
    before = cached.digest_of(package / "writes.py", package)
    (package / "idle.py").write_text("IDLE = 2\n")
    assert cached.digest_of(package / "writes.py", package) == before
    (package / "late.py").write_text("LATE = 2\n")
    assert cached.digest_of(package / "writes.py", package) != before


def test_a_file_that_moves_gives_another_name_and_a_folder_that_moves_does_not(
    tmp_path: Path,
) -> None:
    def digest(folder: Path) -> str:
        return cached.digest_of_files(sorted(folder.rglob("*")), folder)

    before = digest(filled(tmp_path / "one"))
    assert digest(filled(tmp_path / "two")) == before
    (tmp_path / "two/inner/file").rename(tmp_path / "two/inner/renamed")
    (tmp_path / "two/link").unlink()
    (tmp_path / "two/link").symlink_to("inner/renamed")
    assert digest(tmp_path / "two") != before


def filled(folder: Path) -> Path:
    """A folder with a file in a folder, an empty file and a link."""
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/file").write_text("content")
    (folder / "none").write_text("")
    (folder / "link").symlink_to("inner/file")
    return folder


def test_what_was_kept_comes_back_with_its_times_and_links(empty: Path, tmp_path: Path) -> None:
    source = filled(tmp_path / "source")
    os.utime(source / "none", (1, 1))
    cached.keep("entry", source)
    assert cached.fetch("entry", tmp_path / "target")
    assert flow.files_of(tmp_path / "target") == flow.files_of(source)
    assert (tmp_path / "target/link").readlink() == Path("inner/file")
    assert (tmp_path / "target/none").stat().st_mtime == 1
    assert not cached.fetch("other", tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("damage", ["changed", "cut", "missing", "added", "link", "listing"])
def test_a_damaged_entry_is_noticed_and_removed(empty: Path, tmp_path: Path, damage: str) -> None:
    cached.keep("entry", filled(tmp_path / "source"))
    content = empty / "entry" / cached.CONTENT
    if damage == "changed":
        (content / "inner/file").write_text("CONTENT")
    elif damage == "cut":
        (content / "inner/file").write_text("cont")
    elif damage == "missing":
        (content / "none").unlink()
    elif damage == "added":
        (content / "more").write_text("")
    elif damage == "link":
        (content / "link").unlink()
        (content / "link").symlink_to("none")
    else:
        (empty / "entry" / cached.LISTING).write_text("{")
    assert not cached.fetch("entry", tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert not (empty / "entry").exists()
    cached.keep("entry", tmp_path / "source")
    assert cached.fetch("entry", tmp_path / "target")


def test_of_two_processes_that_keep_the_same_the_first_wins(empty: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "who").write_text(name)
        cached.keep("entry", folder)
    assert cached.fetch("entry", tmp_path / "target")
    assert (tmp_path / "target/who").read_text() == "first"
    assert [path.name for path in empty.iterdir()] == ["entry"]


def test_only_what_was_not_used_for_long_is_removed(empty: Path, tmp_path: Path) -> None:
    source = filled(tmp_path / "source")
    long_ago = time.time() - 30 * 86_400
    for name in ("used", "unused", "new-cut-off"):
        cached.keep(name, source)
        os.utime(empty / name, (long_ago, long_ago))
    assert cached.fetch("used", tmp_path / "target")
    cached.prune()
    assert [path.name for path in empty.iterdir()] == ["used"]
