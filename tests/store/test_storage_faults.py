"""Disks that fill up, refuse or lie elsewhere: one clear line, and nothing lost."""

import ctypes
import errno
import fcntl
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

import flow
from conftest import Project
from failing import failure, results_are_whole
from variorum.base.errors import VariorumError
from variorum.base.machine import Machine
from variorum.cli.command import main
from variorum.plan.experiment import Node
from variorum.run import runner
from variorum.snakemake import Flow
from variorum.stages import normalize
from variorum.store.result import MANIFEST
from variorum.store.store import Store


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment, run to its report."""
    return flow.finished_project(tmp_path_factory.mktemp("faults") / "project")


@pytest.fixture
def root(finished: Project, tmp_path: Path) -> Path:
    """A copy of the finished project, to damage."""
    shutil.copytree(finished.root, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


@pytest.fixture
def node(micro: Project) -> Node:
    """The next to be made, with all that it needs there, and its plan handed over."""
    node = flow.before(micro.root, flow.current(micro.root), "normalize")
    runner.submit(Store(micro.root), node.spec, node.label)
    return node


# Disks that are full, or that may not be written to


def no_space(*args: object, **kwargs: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.write_text", "pathlib.Path.rename"])
def test_a_full_disk_is_one_line_and_the_next_run_succeeds(
    micro: Project, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "normalize")
    runner.submit(Store(micro.root), node.spec, node.label)
    with monkeypatch.context() as patch:
        patch.setattr(call, no_space)
        failure(micro.root, node, "no space is left .* make room and run the same command again")
    assert flow.make(micro.root, node).ref == node.ref


def test_a_full_disk_is_one_line_at_planning_too(
    micro: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "normalize")
    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(VariorumError, match="no space is left"):
        runner.submit(Store(micro.root), node.spec, node.label)
    assert not list(Store(micro.root).scratch(node.ref).iterdir())


def test_a_full_disk_takes_the_log_and_not_the_reason(
    micro: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "download")
    runner.submit(Store(micro.root), node.spec, node.label)
    monkeypatch.setattr("os.fsync", no_space)
    failure(micro.root, node, "no space is left", log=Path("/dev/full"))
    printed = capfd.readouterr().err
    assert printed.count("its log ends here: No space left on device") == 1
    assert "stopped: the project's folder: no space is left" in printed


def test_a_training_on_a_full_disk_resumes_from_its_last_state(
    micro: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "pretrain")
    store, saved = Store(micro.root), 0
    runner.submit(store, node.spec, node.label)
    often = Machine(checkpoint_seconds=0)

    def write(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        nonlocal saved
        saved += 1
        if saved > 7:
            raise SafetensorError("Error while serializing: I/O error: No space (os error 28)")
        save_file(tensors, path, metadata)

    with monkeypatch.context() as patch:
        patch.setattr("variorum.training.state.save_file", write)
        with pytest.raises(VariorumError, match="no space is left"):
            runner.run(store, node.ref, often)
    assert not store.folder(node.ref).exists()
    interrupted = runner.run(store, node.ref, often)
    assert "resumes from step 6" in capfd.readouterr().err
    assert interrupted.json("metrics.json")["steps"] == 30
    assert not store.scratch(node.ref).exists()


def limit_files(size: int) -> Callable[[], None]:
    """No file may grow beyond `size`: for a process that is about to start."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def obey_permissions() -> None:
    """Take away root's right to write everywhere, in a process that is about to start."""
    drop, override = 24, 1  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE; others than root have neither
    ctypes.CDLL(None).prctl(drop, override, 0, 0, 0)


def run_command(
    project: Project, node: Node, prepare: Callable[[], None]
) -> subprocess.CompletedProcess[str]:
    """`variorum run`, in a process that is prepared by a function."""
    return subprocess.run(
        ["variorum", "run", str(node.ref), "--log", f"logs/{node.ref}.log"],
        cwd=project.root,
        env=project.environment(),
        preexec_fn=prepare,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_file_that_cannot_grow_ends_the_command_with_one_line(micro: Project) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "normalize")
    runner.submit(Store(micro.root), node.spec, node.label)
    before = flow.files_of(micro.root / "results")
    done = run_command(micro, node, limit_files(4096))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("variorum: the project's folder: no space is")
    assert "Traceback" not in done.stderr
    assert "no space" in (micro.root / f"logs/{node.ref}.log").read_text()
    assert flow.files_of(micro.root / "results") == before
    flow.make(micro.root, node)
    assert results_are_whole(micro.root)


def test_results_that_cannot_be_written_to_end_the_command_with_one_line(micro: Project) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "normalize")
    runner.submit(Store(micro.root), node.spec, node.label)
    results = micro.root / "results"
    before = flow.files_of(results)
    results.chmod(0o555)
    try:
        done = run_command(micro, node, obey_permissions)
    finally:
        results.chmod(0o755)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "results/normalize: not allowed here (Permission denied)" in last
    assert "Traceback" not in done.stderr
    assert flow.files_of(results) == before
    flow.make(micro.root, node)


def test_a_read_only_file_system_is_named_with_the_place_that_was_to_be_written(
    micro: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "normalize")

    def rename(self: Path, target: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self), None, str(target))

    monkeypatch.setattr(Path, "rename", rename)
    line = failure(micro.root, node, "not allowed here .Read-only file system.")
    assert line.startswith(str(Store(micro.root).folder(node.ref)))


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """No file that this process writes grows beyond `size` bytes while the block runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_whichever_stage_finds_the_disk_full_it_is_one_line_and_made_by_the_next_run(
    micro: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    for node in flow.current(micro.root):
        runner.submit(Store(micro.root), node.spec, node.label)
        with no_file_beyond(1000):
            failure(micro.root, node, "no (space|shared memory) is left .* run the same command")
        flow.make(micro.root, node)
    assert results_are_whole(micro.root)
    assert "Traceback" not in capsys.readouterr().err


def test_a_full_disk_where_results_are_bundled_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = flow.current(root).last
    shutil.rmtree(Store(root).folder(report.ref))
    monkeypatch.setattr(shutil, "copyfile", no_space)
    line = failure(root, report, r"could not be written .*No space left on device.* fix that")
    assert "bundle" in line


def test_a_full_disk_where_snakemake_plans_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = Flow(root, {}, dry_run=False, first=lambda flow: flow.prepare())
    monkeypatch.setattr(Path, "write_text", no_space)
    monkeypatch.setattr(Path, "mkdir", no_space)
    for ask in (planned.report, planned.start):
        with pytest.raises(SystemExit) as end:
            ask()
        assert end.value.code == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("variorum: the project's folder: no space is left on the disk")


def test_a_full_disk_where_results_are_handed_to_dvc_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = flow.files_of(root / "results")
    monkeypatch.chdir(root)
    monkeypatch.setattr("os.fsync", no_space)
    monkeypatch.setattr(sys, "argv", ["variorum", "track"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no space is left" in line
    assert flow.files_of(root / "results") == before


# Disks that are elsewhere, out of order, or not what is needed


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EIO, "the disk does not work .Input/output error..*check the disk"),
        (errno.ESTALE, "the disk does not work .Stale file handle..*check the disk"),
        (errno.EDQUOT, "no space is left .*a quota is used up.*make room"),
    ],
)
def test_a_disk_that_fails_is_named_with_the_file(
    micro: Project, node: Node, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def broken(task: runner.Task) -> None:
        raise OSError(number, os.strerror(number), str(task.output / "train.jsonl"))

    with monkeypatch.context() as patch:
        patch.setattr(normalize, "run", broken)
        line = failure(micro.root, node, message)
    assert line.startswith(str(Store(micro.root).scratch(node.ref)))
    assert flow.make(micro.root, node).ref == node.ref


def test_a_disk_without_locks_is_refused(
    micro: Project, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    failure(
        micro.root, node, "this disk has no file locks .*move the project to a disk that has them"
    )


@pytest.mark.parametrize("link", [False, True])
def test_a_file_or_a_broken_link_where_results_belong_is_named(
    micro: Project, node: Node, link: bool
) -> None:
    place = micro.root / "results/normalize"
    if link:
        place.symlink_to("nowhere")
    else:
        place.touch()
    line = failure(micro.root, node, "a file or a broken link is in the way .* move it away")
    assert line.startswith(str(place))
    place.unlink()
    assert flow.make(micro.root, node).ref == node.ref


def test_results_may_be_a_link_to_another_place(micro: Project, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (micro.root / "results").symlink_to(tmp_path / "elsewhere")
    flow.before(micro.root, flow.current(micro.root), "encode")
    assert results_are_whole(micro.root)
    assert len(list((tmp_path / "elsewhere").glob(f"*/*/{MANIFEST}"))) == 7


def test_results_on_another_disk_than_scratch_are_refused_before_the_work(
    micro: Project, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def on_two_disks(self: Path, **options: bool) -> os.stat_result:
        found = stat(self, **options)
        if self != micro.root / "results":
            return found
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:]))

    monkeypatch.setattr(Path, "stat", on_two_disks)
    monkeypatch.setattr(normalize, "run", lambda task: pytest.fail("it began"))
    failure(micro.root, node, "lie on different disks, .* put both on one")
