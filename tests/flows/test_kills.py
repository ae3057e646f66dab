"""Killed at any moment, any number of times, the same command ends with the same bytes.

The random moments are drawn from a seed that is printed; KILL_SEED sets it, to see a failure again.
"""

import os
import random
import re
import signal
import subprocess
import time
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from test_snakemake import NOTHING, REPORT, Done, every_file, said

import flow
from conftest import Project, Record, add_micro_experiment, copy_project
from variorum.base.errors import Stopped
from variorum.base.files import sha256_of
from variorum.base.machine import Machine
from variorum.cli import signals
from variorum.identity.spec import Ref
from variorum.plan.experiment import Node
from variorum.run import runner
from variorum.store.result import MANIFEST
from variorum.store.store import Store
from variorum.training import state

CHECKPOINT_SECONDS = 0.25
SLOWED = 0.5
"""Seconds that a checkpoint or a publication takes where it is slowed down to be hit."""

GRACE = 1.0
"""Seconds that a step, a validation, and saving may take on a busy machine."""

SNAKEMAKE = ("snakemake", "--cores", "2")
TRAININGS = ("pretrain", "finetune")
STEP = re.compile(r"step ([\d,]+): val")
SLOW_STORAGE = Path(__file__).parent / "slow_storage"


# The project that is killed, and the processes that it is killed with


def set_up(folder: Path, *, domain: bool = True) -> Project:
    """A micro experiment whose trainings are long enough to be killed in."""
    project = copy_project(folder)
    add_micro_experiment(project, domain=domain)
    path = project.root / "config/experiments/micro.yaml"
    text = path.read_text()
    for old, new in (
        ("max_steps: 30", "max_steps: 900"),
        ("max_steps: 10", "max_steps: 300"),
        ("val_interval: 10", "val_interval: 20"),
        ("val_interval: 5", "val_interval: 20"),
    ):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return project


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same experiment up to its models, never interrupted, all in this process."""
    project = set_up(tmp_path_factory.mktemp("trained") / "project")
    (last,) = flow.current(project.root).of_stage("finetune")
    flow.with_inputs(project.root, last)
    return project


@dataclass
class Running:
    """A command in a process group of its own, and what it prints."""

    process: subprocess.Popen[bytes]
    output: Path

    def send(self, number: int) -> None:
        """Send a signal to the whole group, as a terminal does."""
        os.killpg(self.process.pid, number)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def end(self, seconds: float = 300) -> Done:
        """Wait for its end."""
        code = self.process.wait(seconds)
        return Done(self.process.args, code, self.output.read_text(), "")


@contextmanager
def running(
    project: Project, *command: str, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Start a command, of which nothing is left when the block ends; trainings save often."""
    often = {"VARIORUM_CHECKPOINT_SECONDS": str(CHECKPOINT_SECONDS)}
    output = project.root / f"printed-{time.time_ns()}"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=project.root,
            env=project.environment({**often, **(environment or {})}),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Running(process, output)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(lambda: not members(process.pid))


def snakemake(
    project: Project, target: str, slowed: str | None = None
) -> AbstractContextManager[Running]:
    """Snakemake, with one call of the storage slowed down: see `slow_storage`."""
    environment = {} if slowed is None else slow(slowed, SLOWED)
    return running(project, *SNAKEMAKE, target, environment=environment)


def slow(moment: str, seconds: float, until: Path | None = None) -> dict[str, str]:
    """The environment in which one call takes its time, or until there is a file."""
    path = [str(SLOW_STORAGE), *filter(None, [os.environ.get("PYTHONPATH")])]
    call = f"{moment}:{seconds}:{until or ''}"
    return {"PYTHONPATH": os.pathsep.join(path), "SLOW_STORAGE": call}


def members(group: int) -> list[int]:
    """The processes of a group that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended just now
            condition, _, its_group = stat.read_text().rpartition(") ")[2].split()[:3]
            if int(its_group) == group and condition != "Z":
                found.append(int(stat.parent.name))
    return found


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Return as soon as the condition holds; fail if it takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


# What a kill leaves on disk, by which its kind is told afterwards

Traces = set[tuple[str, int]]
"""Files, and when they were written."""


def stamped(paths: Iterable[Path]) -> Traces:
    """Traces of the files that exist."""
    found = set()
    for path in paths:
        with suppress(FileNotFoundError):
            found.add((str(path), path.stat().st_mtime_ns))
    return found


def half_saved(root: Path) -> Traces:
    """States of trainings that were being written."""
    return stamped(root.glob("scratch/*/*/state.safetensors.*.new"))


def half_published(root: Path) -> Traces:
    """Manifests that were written, of results that are not in place."""
    written = root.glob(f"scratch/*/*/output/{MANIFEST}")
    places = {path: Path(*path.relative_to(root / "scratch").parts[:2]) for path in written}
    return stamped(p for p in places if not (root / "results" / places[p] / MANIFEST).exists())


def unrecorded(root: Path) -> Traces:
    """Marks by which Snakemake takes a result for incomplete that is in place."""
    marks = root / ".snakemake/incomplete"
    return stamped(
        p for p in marks.rglob("*") if p.is_file() and output_of(p, marks, root).exists()
    )


def output_of(mark: Path, marks: Path, root: Path) -> Path:
    """What Snakemake's mark stands for: its name is the output's in base 64, cut at 255."""
    encoded = "".join(part.removeprefix("@") for part in mark.relative_to(marks).parts)
    return root / urlsafe_b64decode(encoded).decode()


ANYWHERE = "anywhere else"
TRAINING = "between a training's steps"
CHECKPOINT = "inside a checkpoint's write"
PUBLICATION = "inside a publication"
UNRECORDED = "published, unknown to Snakemake"

KINDS = (ANYWHERE, TRAINING, CHECKPOINT, PUBLICATION, UNRECORDED)

TRACES = {CHECKPOINT: half_saved, PUBLICATION: half_published, UNRECORDED: unrecorded}
SLOW = {CHECKPOINT: "checkpoint", PUBLICATION: "publication"}
DELAYS = {
    ANYWHERE: (0.0, 4.0),
    TRAINING: (1.3, 2.0),
    CHECKPOINT: (0.0, 1.5),
    PUBLICATION: (0.0, 3.0),
    UNRECORDED: (0.0, 3.0),
}
"""Between which a moment is drawn, at which the next chance is taken: seconds after the start of
the command or, where a training is aimed at, after its first step."""


class Watch:
    """Looks at a project while a command runs in it: what its trainings report, what it shows."""

    def __init__(self, project: Project) -> None:
        self.root = project.root
        self.begun = time.time_ns()
        self.before = {kind: found(self.root) for kind, found in TRACES.items()}
        self.steps: dict[Ref, list[tuple[float, int]]] = {}

    def look(self) -> None:
        """Note the last step that each training told, and when; no result may be shown in parts."""
        for folder in results(self.root):
            with suppress(FileNotFoundError):  # it is replaced just now
                assert not any(folder.iterdir()) or (folder / MANIFEST).exists(), f"{folder} parts"
        for ref, text in self.logs():
            told = [int(step.replace(",", "")) for step in STEP.findall(text)]
            seen = self.steps.setdefault(ref, [])
            if told and (not seen or seen[-1][1] != told[-1]):
                seen.append((time.monotonic(), told[-1]))

    def logs(self) -> Iterator[tuple[Ref, str]]:
        """What the trainings that ran since the beginning wrote."""
        for stage in TRAININGS:
            for log in self.root.glob(f"logs/{stage}/*.log"):
                if log.stat().st_mtime_ns > self.begun:
                    yield Ref(stage, log.stem), log.read_text()

    def hits(self, kind: str) -> bool:
        """Whether a kill at this moment is, or was, of a kind."""
        if kind == TRAINING:
            told = [ref for ref, steps in self.steps.items() if steps and steps[-1][1]]
            return any(not (self.root / "results" / str(ref) / MANIFEST).exists() for ref in told)
        return kind == ANYWHERE or bool(TRACES[kind](self.root) - self.before[kind])

    def kind(self) -> str:
        """Which kind of kill it was, by its traces."""
        return next(kind for kind in (*TRACES, TRAINING, ANYWHERE) if self.hits(kind))


def results(root: Path) -> list[Path]:
    """The folders of results, finished or not."""
    return sorted(root.glob(f"results/*/{'[0-9a-f]' * 12}"))


def assert_whole(root: Path) -> dict[str, int]:
    """Everything that is shown is whole, byte for byte; gives when each result was published."""
    store, published = Store(root), {}
    for folder in results(root):
        if any(folder.iterdir()):
            ref = Ref(folder.parent.name, folder.name)
            for name, entry in store.open(ref).manifest["files"].items():
                assert sha256_of(folder / name) == entry["sha256"], f"{ref}/{name}"
            published[str(ref)] = (folder / MANIFEST).stat().st_mtime_ns
    if (root / REPORT).exists():
        page = (root / REPORT).read_bytes()
        assert page in [p.read_bytes() for p in root.glob("results/report/*/report.html")]
    return published


@dataclass(frozen=True)
class Kill:
    """One kill: where it hit, and the seconds of training that it cost at most."""

    kind: str
    lost: float


@dataclass
class Life:
    """A project that is killed again and again until its command, of a target, ends."""

    project: Project
    target: str
    published: dict[str, int] = field(default_factory=dict)
    saved: dict[Ref, int] = field(default_factory=dict)

    def kill(self, aim: str, delay: float) -> Kill | None:
        """Start the command and kill it at a moment of a kind, not before `delay`.

        None if it ended before.
        """
        watch, earliest = Watch(self.project), float("inf")
        with snakemake(self.project, self.target, SLOW.get(aim)) as command:
            while not (command.over or (time.monotonic() >= earliest and watch.hits(aim))):
                watch.look()
                if aim not in (TRAINING, CHECKPOINT) or watch.hits(TRAINING):
                    earliest = min(earliest, time.monotonic() + delay)
                time.sleep(0.002)
            moment, over = time.monotonic(), command.over
        self.check(watch)
        if over:
            assert command.process.returncode == 0, command.output.read_text()
            return None
        lost = self.lost(watch, moment)
        assert lost <= CHECKPOINT_SECONDS + GRACE + SLOWED * (aim == CHECKPOINT)
        return Kill(watch.kind(), lost)

    def check(self, watch: Watch) -> None:
        """Nothing in parts, nothing made twice, and trainings resumed where they were."""
        published = assert_whole(self.project.root)
        assert self.published.items() <= published.items(), "made twice"
        self.published = published
        for ref, text in watch.logs():
            if self.saved.get(ref) and "\n" in text:
                line = f"{ref.stage} micro  resumes from step {self.saved[ref]}"
                assert line in text.split("\n")[:2]

    def lost(self, watch: Watch, moment: float) -> float:
        """Seconds of training that are to be done again, at most."""
        lost = 0.0
        for ref, steps in watch.steps.items():
            if str(ref) not in self.published:
                saved = state.read(self.project.root / "scratch" / str(ref) / "state.safetensors")
                self.saved[ref] = saved[0].position.step if saved else 0
                again = [moment - told for told, step in steps if step > self.saved[ref]]
                lost = max([lost, *again])
        return lost

    def finish(self, whole: Project) -> None:
        """Let it end, and compare it with one that was never killed."""
        watch = Watch(self.project)
        with snakemake(self.project, self.target) as command:
            assert command.end().returncode == 0, command.output.read_text()
        self.check(watch)
        assert every_file(self.project) == every_file(whole)
        assert NOTHING in said(self.project.snakemake("-n", self.target))
        assert not (self.project.root / "scratch/aside").exists()


def survive(folder: Path, target: str, whole: Project, wanted: Counter[str]) -> list[Kill]:
    """Kill until each kind was hit as often as wanted; begin anew if it ends before."""
    seed = int(os.environ.get("KILL_SEED", time.time_ns() % 10**6))
    print(f"KILL_SEED={seed}")
    dice, kills = random.Random(seed), list[Kill]()
    lives = [Life(set_up(folder / "0"), target)]
    while lacking := wanted - Counter(kill.kind for kill in kills):
        assert len(kills) + len(lives) <= 3 * wanted.total(), f"never hit: {lacking}"
        aim = dice.choice(sorted(lacking.elements()))
        kill = lives[-1].kill(aim, dice.uniform(*DELAYS[aim]))
        if kill:
            kills.append(kill)
            print(f"{kill.kind:<32} {kill.lost:.2f} s of training lost at most")
        else:
            lives[-1].finish(whole)
            lives.append(Life(set_up(folder / str(len(lives))), target))
    lives[-1].finish(whole)
    return kills


def test_killed_in_every_way_it_ends_with_the_same_bytes(trained: Project, tmp_path: Path) -> None:
    wanted = Counter(dict.fromkeys(KINDS, 1))
    assert len(survive(tmp_path, "finetune", trained, wanted)) >= 5


@pytest.mark.long
def test_killed_many_times_it_ends_with_the_same_bytes_up_to_the_page(
    tmp_path: Path, record_property: Record
) -> None:
    whole, wanted = set_up(tmp_path / "whole"), Counter(dict.fromkeys(KINDS, 5))
    whole.snakemake(REPORT)
    kills = survive(tmp_path, REPORT, whole, wanted)
    pages = {(project / REPORT).read_bytes() for project in tmp_path.iterdir()}
    assert pages == {(whole.root / REPORT).read_bytes()}
    for kind in KINDS:
        lost = [kill.lost for kill in kills if kill.kind == kind]
        assert len(lost) >= wanted[kind]
        record_property(f"killed {kind}", f"{len(lost)} times, {max(lost):.2f} s of training lost")
    record_property("killed in all", len(kills))


# Ctrl-C and SIGTERM


def told(log: Path) -> bool:
    """Whether a training told of a step in its log."""
    return log.is_file() and any(int(step) for step in STEP.findall(log.read_text()))


def test_ctrl_c_ends_a_training_after_its_step_and_says_how_to_resume(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = set_up(tmp_path / "project")
    node = flow.before(project.root, flow.current(project.root), "pretrain")
    log = project.root / f"logs/{node.ref}.log"
    with snakemake(project, "pretrain") as command:
        wait_for(lambda: told(log))
        command.send(signal.SIGINT)
        done = command.end()
    assert done.returncode
    assert "Traceback" not in said(done) + log.read_text()
    stop = re.search(
        r"stopped after step (\d+) of 900; the same command resumes from there", said(done)
    )
    assert stop, said(done)
    assert stop[0] in log.read_text()
    saved = state.read(Store(project.root).scratch(node.ref) / "state.safetensors")
    assert saved is not None
    assert saved[0].position.step == int(stop[1])
    with pytest.raises(Stopped):
        runner.run(Store(project.root), node.ref, Machine(stop_after=int(stop[1]) + 1))
    assert f"resumes from step {stop[1]}\n" in capfd.readouterr().err


def variorum_run(
    project: Project, node: Node, environment: Mapping[str, str] | None = None
) -> AbstractContextManager[Running]:
    """`variorum run`, as a rule calls it."""
    runner.submit(Store(project.root), node.spec, node.label)
    log = ("--log", f"logs/{node.ref}.log")
    command = ("variorum", "run", str(node.ref), "--processes", "2", *log)
    return running(project, *command, environment=environment)


def test_sigterm_ends_a_training_as_ctrl_c_does(tmp_path: Path) -> None:
    project = set_up(tmp_path / "project")
    node = flow.before(project.root, flow.current(project.root), "pretrain")
    log = project.root / f"logs/{node.ref}.log"
    with variorum_run(project, node) as command:
        wait_for(lambda: told(log))
        command.send(signal.SIGTERM)  # also to the worker, as a cluster does
        done = command.end()
    assert done.returncode == signals.INTERRUPTED
    assert re.search(r"stopped after step \d+ of 900; the same command resumes", log.read_text())
    assert "Traceback" not in said(done)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stage_without_steps_is_left_at_once_with_one_line(micro: Project, number: int) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "normalize")
    log = micro.root / f"logs/{node.ref}.log"
    with variorum_run(micro, node, slow("publication", 60)) as command:
        wait_for(lambda: half_published(micro.root))
        command.send(number)
        done = command.end()
    assert done.returncode == signals.INTERRUPTED
    assert said(done).splitlines()[-1] == f"variorum: {signals.STOPPED}"
    assert log.read_text().splitlines()[-1] == signals.STOPPED
    assert "Traceback" not in said(done)
    assert_whole(micro.root)
    assert flow.make(micro.root, node).ref == node.ref


# What the dead leave behind, and the living beside them


def test_a_key_whose_holder_was_killed_is_taken_over_by_who_waits_for_it(micro: Project) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "normalize")
    with variorum_run(micro, node, slow("publication", 60)) as first:
        wait_for(lambda: half_published(micro.root))
        with variorum_run(micro, node) as second:
            wait_for(lambda: "waits for the process that is making it" in second.output.read_text())
            first.send(signal.SIGKILL)
            done = second.end()
    assert done.returncode == 0, said(done)
    assert str(node.ref) in assert_whole(micro.root)


def test_a_living_snakemake_keeps_its_locks_and_a_dead_ones_children_are_waited_for(
    micro: Project, tmp_path: Path
) -> None:
    environment = slow("publication", 120, tmp_path / "continue")
    with running(micro, *SNAKEMAKE, "download", environment=environment) as first:
        wait_for(lambda: len(half_published(micro.root)) == 2)
        second = micro.snakemake("download", check=False)
        assert second.returncode
        assert "cannot be locked" in said(second)
        first.process.kill()  # Snakemake alone; its jobs continue
        first.process.wait()
        with snakemake(micro, "download") as third:
            wait_for(lambda: third.output.read_text().count("waits for the process") == 2)
            (tmp_path / "continue").touch()
            assert third.end().returncode == 0
    assert len(assert_whole(micro.root)) == 2


def test_of_many_processes_that_want_one_result_just_one_makes_it(
    micro: Project, tmp_path: Path
) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "normalize")
    environment = slow("publication", 120, tmp_path / "continue")
    with ExitStack() as stack:
        racing = [stack.enter_context(variorum_run(micro, node, environment)) for _ in range(5)]
        wait_for(lambda: half_published(micro.root))
        wait_for(lambda: sum("waits" in one.output.read_text() for one in racing) == 4)
        (tmp_path / "continue").touch()
        printed = [said(one.end()) for one in racing]
    assert [one.process.returncode for one in racing] == 5 * [0]
    assert sum("done in" in text for text in printed) == 1
    assert sum("was made meanwhile" in text for text in printed) == 4
    assert str(node.ref) in assert_whole(micro.root)


def test_what_a_kill_kept_from_dvc_is_tracked_by_the_next_run(micro: Project) -> None:
    with snakemake(micro, "download") as command:
        wait_for(lambda: "(100%) done" in command.output.read_text())
        command.send(signal.SIGKILL)
    assert len(assert_whole(micro.root)) == 2
    assert not list(micro.root.glob("scratch/pins/*/*.dvc"))
    done = micro.snakemake("download")
    assert NOTHING in said(done)
    assert len(list(micro.root.glob("scratch/pins/download/*.dvc"))) == 2
