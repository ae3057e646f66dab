"""How results and leftovers are removed: whole, in order, and only when it was said."""

import errno
import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest
from gc_shelf import going, leftovers, only, there

import flow
import made_up
from conftest import Project
from variorum.audit.adopt import adopting
from variorum.audit.gc import removal
from variorum.audit.verify import rerun
from variorum.base.errors import Stopped, VariorumError
from variorum.base.machine import Machine
from variorum.base.progress import Progress
from variorum.cli import results
from variorum.identity.spec import Ref
from variorum.plan.experiment import Plan
from variorum.run import runner
from variorum.stages.task import Task
from variorum.store.store import Store
from variorum.store.tracking import OTHER_PINS

pytest_plugins = ("gc_fixtures",)
GC = ("variorum", "gc")

# Removing


def test_killed_anywhere_it_leaves_whole_results_or_none(
    root: Path, needed: Plan, wide: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, calls = Path.rename, []

    def killed(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return rename(path, target)

    plan = removal.plan(root)
    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        removal.remove(root, plan)
    monkeypatch.setattr(Path, "rename", rename)
    rest = there(root)
    assert len(rest) == len(needed.nodes) + len(going(plan)) - 4
    for ref in rest:
        assert set(Store(root).open(ref).spec.upstream.values()) <= rest, "and what it stands on"
    again = removal.plan(root)
    assert [part.what for part in again.leftovers] == ["was being removed"]
    removal.remove(root, again)
    assert there(root) == set(needed.nodes)
    assert not list((root / "scratch").glob("trash*"))


def test_what_the_disk_refuses_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, target: Path) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    before, plan = there(root), removal.plan(root)
    monkeypatch.setattr(Path, "rename", refused)
    message = "results/report/.*: could not be removed .Read-only file system.; every result"
    with pytest.raises(VariorumError, match=message):
        removal.remove(root, plan)
    assert there(root) == before


def test_linked_bytes_stay_in_the_cache(shelf: Project, needed: Plan, wide: Plan) -> None:
    root = shelf.root
    cache = flow.files_of(root / ".dvc/cache")
    shelf.run("dvc", "config", "--local", "cache.type", "symlink")
    shutil.rmtree(root / "results/pretrain")
    shelf.run("git", "checkout", "--", "results")
    shelf.run("dvc", "checkout", "--recursive", "results/pretrain")
    (pretrain,) = wide.of_stage("pretrain")
    assert (Store(root).folder(pretrain.ref) / "content.txt").is_symlink()
    removal.remove(root, removal.plan(root))
    assert there(root) == set(needed.nodes)
    assert flow.files_of(root / ".dvc/cache") == cache


# Leftovers in scratch


def test_leftovers_in_scratch_go_and_what_can_be_gone_on_with_stays(
    root: Path, needed: Plan
) -> None:
    aside = root / "scratch/aside/encode/0123456789ab-"
    aside.mkdir(parents=True)
    (aside / "notes.txt").write_text("mine")
    (node,) = needed.of_stage("pretrain")
    kept = [Store(root).scratch(node.ref) / "state", root / "scratch/downloads/a/0123456789ab"]
    for folder in kept:
        folder.mkdir(parents=True)
    stopped, dead = (root / f"scratch/pretrain/{digit * 12}" for digit in "ab")
    for folder, name in ((stopped, "state.safetensors"), (dead, "spec.json")):
        folder.mkdir(parents=True)
        (folder / name).write_text("{}")
    plan = removal.plan(root)
    assert leftovers(plan) == {"scratch/pretrain/" + 12 * "b"}
    removal.remove(root, plan)
    assert not dead.exists()
    needed_pin, other_pin = (
        root / OTHER_PINS / "0123456789ab" / f"{ref}.dvc"
        for ref in (node.ref, Ref("pretrain", 12 * "c"))
    )
    for pin in (needed_pin, other_pin):
        pin.parent.mkdir(parents=True, exist_ok=True)
        pin.touch()
    assert not leftovers(removal.plan(root)), "nothing else may name those bytes"
    plan = removal.plan(root, force=True)
    assert leftovers(plan) == {
        "scratch/pretrain/" + 12 * "a",
        "scratch/aside/encode/0123456789ab-",
        str(other_pin.relative_to(root)),
    }
    removal.remove(root, plan)
    assert not stopped.exists()
    assert not other_pin.exists()
    assert needed_pin.exists()
    assert not (root / "scratch/aside").exists()
    assert all(folder.is_dir() for folder in kept)


def left_in_scratch_is_seen(root: Path, folder: Path, spare: Path, what: str) -> None:
    """Hold that a folder is let be while its process lives; keep a copy as if it was killed."""
    (folder / "state.safetensors").write_text("half")
    assert not removal.plan(root).leftovers, f"{what} still runs"
    shutil.copytree(folder, spare)


def what_the_dead_left_goes(root: Path, folder: Path, spare: Path) -> None:
    assert not folder.exists()
    shutil.copytree(spare, folder)
    plan = removal.plan(root)
    assert leftovers(plan) == {str(folder.relative_to(root))}
    removal.remove(root, plan)
    assert not folder.exists()


def test_what_a_killed_rerun_left_goes(
    root: Path, needed: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (node,) = needed.of_stage("pretrain")
    places, spare = [], tmp_path / "spare"

    def computed(store: Store, task: Task) -> None:
        left_in_scratch_is_seen(root, task.scratch, spare, "the rerun")
        places.append(task.scratch)
        raise Stopped("stopped")

    monkeypatch.setattr(runner, "compute", computed)
    with pytest.raises(Stopped):
        rerun.rerun(Store(root), node.ref, Machine(), Progress("rerun"))
    what_the_dead_left_goes(root, places[0], spare)


def test_what_a_killed_adoption_left_goes(
    root: Path, needed: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, spare = root / "scratch/adopt", tmp_path / "spare"

    def adopted(adoption: adopting._Adoption, because: str | None) -> None:
        folder.mkdir(parents=True)
        left_in_scratch_is_seen(root, folder, spare, "the adoption")
        raise VariorumError("nothing to adopt")

    monkeypatch.setattr(adopting._Adoption, "run", adopted)
    with pytest.raises(VariorumError, match="nothing to adopt"):
        adopting.adopt(root, because="a word")
    what_the_dead_left_goes(root, folder, spare)


# The command


def variorum(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return Project(root).run(*GC, *arguments)


def on_a_terminal(root: Path, answer: str) -> str:
    """What `variorum gc` prints on a terminal where somebody types."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        GC, cwd=root, env=Project.environment(), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        printed = b""
        while b"[y/N]" not in printed:
            printed += os.read(ours, 1 << 16)
        os.write(ours, answer.encode())
        try:
            while more := os.read(ours, 1 << 16):
                printed += more
        except OSError:  # the other side was closed
            pass
        assert process.wait(60) == 0
    os.close(ours)
    return printed.decode()


def test_gc_shows_what_would_go_and_asks(root: Path, needed: Plan, wide: Plan) -> None:
    before = there(root)
    printed = on_a_terminal(root, "\n")
    for ref in only(wide, needed):
        assert str(ref) in printed
    assert "nothing was removed" in printed
    assert there(root) == before
    printed = on_a_terminal(root, "y\n")
    assert f"removed {len(only(wide, needed))} results" in printed
    assert there(root) == set(needed.nodes)


def test_what_begins_to_be_needed_while_it_asks_stays(
    root: Path, needed: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def confirm(question: str) -> bool:
        made_up.change(root, model="{n_embd: 32}")
        return True

    before = there(root)
    monkeypatch.chdir(root)
    monkeypatch.setattr("typer.confirm", confirm)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    results.gc()
    assert "removed 0 results" in capsys.readouterr().out
    assert there(root) == before


def test_without_a_terminal_gc_only_shows(root: Path, needed: Plan, wide: Plan) -> None:
    before = there(root)
    done = variorum(root)
    assert done.stdout.splitlines()[-1].startswith("nothing was removed; `variorum gc --yes`")
    assert all(str(ref) in done.stdout for ref in only(wide, needed))
    assert there(root) == before
    done = variorum(root, "--yes")
    assert done.stdout.splitlines()[-1].startswith(f"removed {len(only(wide, needed))} results")
    assert there(root) == set(needed.nodes)
    assert variorum(root, "--yes").stdout.startswith("nothing to remove: ")
