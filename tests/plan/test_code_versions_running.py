"""A training that another state of the code runs: signals, kills and edits reach it."""

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import flow
from conftest import Project
from edited_code import FUSED, of, planned, ready_for_other_code
from variorum.base.project import CODE_VERSIONS
from variorum.identity.spec import Ref
from variorum.plan import code_versions
from variorum.run import runner
from variorum.store.store import Store

PAST_FIRST = re.compile(r"step [1-9][\d,]*:")
"""What a training's log says after some steps; one that resumes may be past any."""


class Training:
    """`variorum run` of a result that another code version makes."""

    def __init__(self, project: Project, ref: Ref) -> None:
        self.project, self.ref, self.store = project, ref, Store(project.root)
        self.log = project.root / "log"

    def start(self) -> "subprocess.Popen[str]":
        """Start it and wait for its first steps."""
        process = subprocess.Popen(
            ["variorum", "run", str(self.ref), "--checkpoint-seconds", "0.1", "--log", "log"],
            cwd=self.project.root,
            env=self.project.environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        while not PAST_FIRST.search(self.log.read_text() if self.log.is_file() else ""):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        return process

    def is_locked(self) -> bool:
        """Whether a process makes it."""
        asked: list[bool] = []

        def note() -> None:
            asked.append(True)
            raise InterruptedError

        try:
            with self.store.locked(self.ref, note):
                return False
        except InterruptedError:
            return True


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with an edit on a branch, where all that the present code makes is finished."""
    return ready_for_other_code(tmp_path_factory.mktemp("ready") / "project")


@pytest.fixture
def training(ready: Project, tmp_path: Path) -> Training:
    """A training by the other code, handed over."""
    project = Project(tmp_path / "project")
    shutil.copytree(ready.root, project.root)
    micro = project.root / "config/experiments/micro.yaml"
    micro.write_text(micro.read_text().replace("max_steps: 30", "max_steps: 30000"))
    node = of(planned(project), "other")
    assert node.version is not None
    node.version.put_in_place()
    for needed in node.upstream.values():
        flow.made_once(project.root, needed)
    runner.submit(Store(project.root), node.spec, node.label, node.version.package)
    return Training(project, node.ref)


def test_one_process_runs_the_other_code_so_that_signals_and_kills_reach_it(
    training: Training,
) -> None:
    process = training.start()
    environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    assert any(CODE_VERSIONS.encode() in each for each in environment if b"PYTHONPATH=" in each)
    assert training.is_locked()
    process.kill()
    process.communicate()
    assert not training.is_locked(), "its lock went with it"
    training.log.unlink()
    process = training.start()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped" in said
    state = training.store.scratch(training.ref) / "state.safetensors"
    assert state.is_file(), "the same command resumes"


def test_a_code_version_that_is_gone_is_named(training: Training) -> None:
    shutil.rmtree(training.project.root / CODE_VERSIONS)
    done = training.project.run("variorum", "run", str(training.ref), check=False)
    assert done.returncode == 1
    assert "which is gone; run the same `snakemake` command again" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_other_code_refuses_a_key_that_is_not_its_own(training: Training) -> None:
    folder = next((training.project.root / CODE_VERSIONS).iterdir())
    package = folder / code_versions.INSIDE
    (package / FUSED).write_text((package / FUSED).read_text().replace("0.5", "0.6"))
    done = training.project.run("variorum", "run", str(training.ref), check=False)
    assert "the code of pretrain was edited after" in done.stderr
