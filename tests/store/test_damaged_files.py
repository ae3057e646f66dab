"""Files that were cut or lost, locks of the dead, wrong clocks: nothing finished is lost."""

import fcntl
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import flow
import made_up
from conftest import Project
from variorum import api
from variorum.base.errors import Stopped
from variorum.base.machine import Machine
from variorum.cli.command import main
from variorum.identity.spec import Ref
from variorum.plan.experiment import Node
from variorum.run import runner
from variorum.snakemake import REPORT, Flow
from variorum.stages.registry import TRACKED
from variorum.store import records, restoring, tracking
from variorum.store.result import CODE, COPY, MANIFEST, RUN, StoreError
from variorum.store.store import Store


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment, run to its report."""
    return flow.finished_project(tmp_path_factory.mktemp("damaged") / "project")


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


def halve(path: Path) -> None:
    """Cut a file in the middle, as a disk that filled up, or a lost page, leaves it."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    """Leave nothing of a file but its name."""
    path.write_bytes(b"")


def zero(path: Path) -> None:
    """Leave a file its size alone, as a power failure may."""
    path.write_bytes(bytes(path.stat().st_size))


damages = pytest.mark.parametrize("damage", [halve, empty, zero])
some_damages = pytest.mark.parametrize("damage", [halve, zero])


# Files that were cut, emptied, or lost


@damages
def test_a_damaged_manifest_is_refused_and_comes_back_from_its_copy(
    root: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    store, node = Store(root), flow.current(root).of_stage("pretrain")[0]
    before = flow.files_of(root / "results")
    manifest = store.folder(node.ref) / MANIFEST
    damage(manifest)
    message = f"results/{node.ref}/manifest.json is cut off or not a manifest: delete it, and"
    with pytest.raises(StoreError, match=message):
        flow.make(root, node)
    manifest.unlink()
    monkeypatch.setattr("variorum.stages.pretrain.run", lambda task: pytest.fail("made again"))
    flow.make(root, node)
    assert flow.files_of(root / "results") == before


@some_damages
def test_a_damaged_copy_of_a_manifest_does_no_harm(
    root: Path, damage: Callable[[Path], None]
) -> None:
    store, node = Store(root), flow.current(root).of_stage("tokenizer")[0]
    folder = store.folder(node.ref)
    made = listed(folder)
    damage(folder / COPY)
    assert store.exists(node.ref)
    (folder / MANIFEST).unlink()
    flow.make(root, node)
    assert listed(folder) == made
    assert listed(root / "scratch/aside" / str(node.ref)) == made, "nothing is deleted"


def listed(folder: Path) -> dict[str, str]:
    """SHA-256 of what a result's manifest lists."""
    others = {MANIFEST, COPY, RUN, CODE}
    return {name: digest for name, digest in flow.files_of(folder).items() if name not in others}


@some_damages
@pytest.mark.parametrize("name", [RUN, CODE])
def test_damaged_facts_about_a_run_take_nothing_with_them(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage: Callable[[Path], None],
) -> None:
    store, node = Store(root), flow.current(root).of_stage("finetune")[0]
    damage(store.folder(node.ref) / name)
    result = store.open(node.ref)
    assert (result.run if name == RUN else result.code) == {}
    assert set(api.runs(root=root)["key"]) >= {node.ref.key}
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["variorum", "ls"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert str(node.ref) in capsys.readouterr().out


@damages
def test_a_damaged_plan_is_refused_and_written_anew_by_the_next(
    micro: Project, node: Node, damage: Callable[[Path], None]
) -> None:
    store = Store(micro.root)
    spec = store.scratch(node.ref) / runner.SPEC
    damage(spec)
    message = rf"^scratch/{node.ref}/spec.json is cut off or not a plan; run the same `snakemake`"
    with pytest.raises(StoreError, match=message):
        runner.run(store, node.ref, Machine())
    assert flow.make(micro.root, node).ref == node.ref


def test_a_plan_in_anothers_place_is_refused(micro: Project, node: Node) -> None:
    store, other = Store(micro.root), Ref(node.ref.stage, "f" * 12)
    shutil.copytree(store.scratch(node.ref), store.scratch(other))
    with pytest.raises(StoreError, match=f"{other}/spec.json is cut off or not a plan"):
        runner.run(store, other, Machine())


@damages
def test_a_training_whose_state_is_damaged_says_so_and_begins_again(
    root: Path, capfd: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    store, node = Store(root), flow.current(root).of_stage("finetune")[0]
    made = listed(store.folder(node.ref))
    state = stop_early(root, node)
    damage(state)
    runner.run(store, node.ref, Machine())
    assert (
        "finetune micro  state.safetensors is damaged: begins from step 0" in capfd.readouterr().err
    )
    assert listed(store.folder(node.ref)) == made


def stop_early(root: Path, node: Node) -> Path:
    """Delete a training's result and make it again up to step 4; gives the state's file."""
    store = Store(root)
    shutil.rmtree(store.folder(node.ref))
    runner.submit(store, node.spec, node.label)
    with pytest.raises(Stopped, match="stopped after step 4 of 10"):
        runner.run(store, node.ref, Machine(stop_after=4))
    return store.scratch(node.ref) / "state.safetensors"


def test_what_a_kill_left_of_a_states_write_is_cleared_away(root: Path) -> None:
    node = flow.current(root).of_stage("finetune")[0]
    left = Store(root).scratch(node.ref) / "state.safetensors.4711.new"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    stop_early(root, node)
    assert not left.exists()


# What DVC keeps


@pytest.fixture(scope="module")
def stored(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project, after DVC stored it."""
    folder = tmp_path_factory.mktemp("stored") / "project"
    shutil.copytree(finished.root, folder, symlinks=True)
    tracking.track(folder, TRACKED)
    return Project(folder)


@pytest.fixture
def kept(stored: Project, tmp_path: Path) -> Path:
    """A copy of the project that DVC stored, to damage."""
    shutil.copytree(stored.root, tmp_path / "kept", symlinks=True)
    return tmp_path / "kept"


def objects(root: Path, node: Node) -> dict[str, Path]:
    """Where DVC's cache keeps a result's files, by name, and their listing under `listing`."""
    pin = Store(root).own_pin(node.ref).read_text()
    cache = root / ".dvc/cache/files/md5"
    digest = pin.split("md5: ")[1].split()[0]
    listing = cache / digest[:2] / digest[2:]
    files = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_text())}
    found = {name: cache / digest[:2] / digest[2:] for name, digest in files.items()}
    for path in (listing, *found.values()):
        path.chmod(0o644)  # DVC protects them
    return {"listing": listing, **found}


@some_damages
def test_a_damaged_dvc_file_is_written_anew(kept: Path, damage: Callable[[Path], None]) -> None:
    store, node = Store(kept), flow.current(kept).of_stage("tokenizer")[0]
    made_up.share(kept)
    (record,) = kept.glob(f"{records.RECORDS}/*.dvc")
    pins = {path: path.read_bytes() for path in (store.pin(node.ref), record)}
    pins[store.own_pin(node.ref)] = pins[store.pin(node.ref)]
    for path in pins:
        damage(path)
    made_up.share(kept)
    assert {path: path.read_bytes() for path in pins} == pins


def test_what_a_kill_left_beside_a_file_of_a_result_is_not_handed_to_dvc(kept: Path) -> None:
    node = flow.current(kept).of_stage("tokenizer")[0]
    pin = Store(kept).own_pin(node.ref)
    pinned = pin.read_bytes()
    pin.unlink()
    (Store(kept).folder(node.ref) / f"{MANIFEST}.4711.new").write_text("{")
    tracking.track(kept, TRACKED)
    assert pin.read_bytes() == pinned


@some_damages
def test_a_damaged_listing_in_dvcs_cache_is_written_anew(
    kept: Path, damage: Callable[[Path], None]
) -> None:
    node = flow.current(kept).of_stage("tokenizer")[0]
    listing = objects(kept, node)["listing"]
    whole = listing.read_bytes()
    damage(listing)
    tracking.track(kept, TRACKED)
    assert listing.read_bytes() == whole


@some_damages
def test_what_lies_damaged_in_dvcs_cache_is_not_put_in_place_and_is_stored_anew(
    kept: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    store, node = Store(kept), flow.current(kept).of_stage("tokenizer")[0]
    file = objects(kept, node)["tokenizer.json"]
    whole = file.read_bytes()
    for lost in (node, *node.upstream.values()):
        shutil.rmtree(store.folder(lost.ref))
    damage(file)
    restoring.restore_results(store, [node])
    assert f"{node.ref} is damaged in DVC's cache: it is made again" in capsys.readouterr().err
    assert not store.exists(node.ref)
    upstream = [store.open(needed.ref) for needed in node.upstream.values()]
    assert not any(result.damaged_file() for result in upstream), "they are needed"
    flow.make(kept, node)
    tracking.track(kept, TRACKED)
    assert file.read_bytes() == whole


def test_a_damaged_result_is_not_handed_to_dvc_and_keeps_no_other_from_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = flow.current(root)
    (damaged,), (other, *_) = plan.of_stage("tokenizer"), plan.of_stage("encode")
    halve(Store(root).open(damaged.ref).file("tokenizer.json"))
    tracking.track(root, TRACKED)
    assert "until then it is not handed to DVC" in capsys.readouterr().err
    assert not Store(root).own_pin(damaged.ref).exists()
    assert Store(root).own_pin(other.ref).is_file()


# Locks of the dead, and clocks


def test_locks_that_the_dead_left_are_no_locks(root: Path) -> None:
    node = flow.current(root).of_stage("tokenizer")[0]
    shutil.rmtree(Store(root).folder(node.ref))
    left = [root / "scratch/locks" / str(node.ref).replace("/", "-")]
    left += [root / f".snakemake/locks/0.{kind}.lock" for kind in ("input", "output")]
    for lock in left:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.write_text("left by a process that is no more\n")
    Flow(root, {}, dry_run=False).start()
    assert [lock.exists() for lock in left] == [True, False, False]
    assert flow.make(root, node).ref == node.ref


@pytest.mark.parametrize("name", ["results", "results/tokenizer"])
def test_results_behind_a_link_are_refused_before_anything_runs(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (root / name).rename(tmp_path / "large")
    (root / name).symlink_to(tmp_path / "large")
    with pytest.raises(SystemExit):
        Flow(root, {}, dry_run=False).start()
    said = capsys.readouterr().err
    assert said.startswith(f"variorum: {name} is a link to {tmp_path / 'large'}, and neither git")
    assert len(said.splitlines()) == 1
    shutil.rmtree(root / ".dvc")
    Flow(root, {}, dry_run=False).start()


def test_one_that_only_asks_whether_a_snakemake_runs_keeps_none_from_clearing(root: Path) -> None:
    left = root / ".snakemake/locks/0.input.lock"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.touch()
    start = Flow(root, {}, dry_run=False).start
    begun = threading.Thread(target=start)
    with (root / ".snakemake/variorum.lock").open("a") as asking:
        fcntl.flock(asking, fcntl.LOCK_EX)
        begun.start()
        time.sleep(0.5)
        assert begun.is_alive(), "it waits"
    begun.join(60)
    assert not left.exists()


@pytest.mark.parametrize("seconds", [-(10**8), 10**8])
def test_a_clock_that_was_set_makes_nothing_again_and_hides_no_stale_page(
    root: Path, seconds: int
) -> None:
    moment = time.time() + seconds
    report = flow.current(root).last
    for name in ("report.html", "metrics.json", "curves.csv"):
        shutil.copy(Store(root).folder(report.ref) / name, root / "results/finetune")
    for path in (root / "results").rglob("*"):
        os.utime(path, (moment, moment))
    asked = Flow(root, {}, dry_run=False)
    asked.prepare([REPORT])
    assert (asked.report(), asked.stale) == ([], [])
    page = root / "results/finetune/report.html"
    page.write_text("of another experiment")
    os.utime(page, (moment, moment))
    asked = Flow(root, {}, dry_run=False)
    asked.prepare([REPORT])
    assert asked.stale == [REPORT], "its times say nothing, so Snakemake is forced"
    needed = [*asked.report(), REPORT]
    assert len(needed) == 2
    assert all((root / name).stat().st_mtime <= time.time() for name in needed)


def test_a_clock_that_was_set_back_keeps_no_training_from_resuming(
    root: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, node = Store(root), flow.current(root).of_stage("finetune")[0]
    made = listed(store.folder(node.ref))
    state = stop_early(root, node)
    moment = time.time() + 10**8
    for path in (state, *store.folder(node.upstream["model"].ref).iterdir()):
        os.utime(path, (moment, moment))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    result = runner.run(store, node.ref, Machine(checkpoint_seconds=0))
    assert "resumes from step 4" in capfd.readouterr().err
    assert listed(store.folder(node.ref)) == made
    assert result.run["seconds"] >= 0
