"""Results travel inside the report or table that stands on them, and come back byte for byte."""

import json
import shutil
from pathlib import Path

import pytest

import flow
from conftest import Project
from variorum.base.errors import VariorumError
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.experiment import Node, Plan
from variorum.stages.registry import STAGES, TRACKED
from variorum.store import records, restoring, tracking
from variorum.store.result import MANIFEST, RUN, VARYING, StoreError
from variorum.store.store import Store

SMALL = {"evaluate", "dynamic", "baselines", "comparisons", "stress", "figures"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment, run to its report."""
    return flow.finished_project(tmp_path_factory.mktemp("tracking") / "project")


@pytest.fixture
def root(finished: Project, tmp_path: Path) -> Path:
    """A copy of the finished project, to change."""
    shutil.copytree(finished.root, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def plan(root: Path) -> Plan:
    return flow.current(root)


def small(plan: Plan) -> list[Node]:
    """The results that get no .dvc file of their own."""
    return [node for node in plan if node.ref.stage in SMALL]


def test_every_stage_is_stored_in_one_way() -> None:
    stored = [*TRACKED, *SMALL]
    assert sorted(stored) == sorted(STAGES)


def test_a_report_carries_exactly_what_has_no_file_of_its_own(root: Path, plan: Plan) -> None:
    bundle = Store(root).folder(plan.last.ref) / restoring.BUNDLE
    carried = {
        f"{path.parent.parent.name}/{path.parent.name}" for path in bundle.glob(f"*/*/{MANIFEST}")
    }
    assert carried == {str(node.ref) for node in small(plan)}
    assert len(carried) == 14
    listed = Store(root).open(plan.last.ref).manifest["files"]
    assert all(f"{restoring.BUNDLE}/{ref}/{MANIFEST}" in listed for ref in carried)


def test_what_travelled_comes_back_byte_for_byte(root: Path, plan: Plan) -> None:
    before = flow.files_of(root / "results")
    for stage in SMALL:
        shutil.rmtree(root / "results" / stage)
    restoring.restore_results(Store(root), [plan.last])
    assert flow.files_of(root / "results") == before
    assert all(Store(root).exists(node.ref) for node in plan)


def test_only_what_is_missing_comes_back_and_nothing_is_written_over(
    root: Path, plan: Plan
) -> None:
    store = Store(root)
    kept, lost = small(plan)[:2]
    run = store.folder(kept.ref) / RUN
    facts = {**json.loads(run.read_text()), "host": "another"}
    run.write_text(json.dumps(facts))
    moment = (store.folder(kept.ref) / MANIFEST).stat().st_mtime_ns
    shutil.rmtree(store.folder(lost.ref))
    restoring.restore_results(store, [plan.last])
    assert store.open(kept.ref).run["host"] == "another"
    assert (store.folder(kept.ref) / MANIFEST).stat().st_mtime_ns == moment
    assert store.exists(lost.ref)
    assert not (root / "scratch/aside").exists()


def test_a_damaged_result_is_named_not_replaced(root: Path, plan: Plan) -> None:
    store, node = Store(root), small(plan)[0]
    files = store.open(node.ref).manifest["files"]
    damaged = store.folder(node.ref) / next(iter(files))
    damaged.write_bytes(b"")
    with pytest.raises(StoreError, match=f"{node.ref}/{damaged.name} has 0 bytes"):
        restoring.restore_results(store, [plan.last])
    assert damaged.read_bytes() == b""


def test_what_lies_in_the_place_without_a_manifest_is_moved_aside(root: Path, plan: Plan) -> None:
    store, node = Store(root), small(plan)[0]
    shutil.rmtree(store.folder(node.ref))
    store.folder(node.ref).mkdir()
    (store.folder(node.ref) / "notes.txt").write_text("mine")
    restoring.restore_results(store, [plan.last])
    assert store.exists(node.ref)
    assert [p.read_text() for p in root.glob("scratch/aside/*/*/notes.txt")] == ["mine"]


def test_a_result_that_carries_nothing_gives_nothing_back(root: Path, plan: Plan) -> None:
    before = flow.files_of(root / "results")
    restoring.restore_results(Store(root), [plan.of_stage("tokenizer")[0]])
    assert flow.files_of(root / "results") == before


def test_without_a_dvc_repository_results_stay_untracked(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(root / ".dvc")
    tracking.track(root, TRACKED)
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not list(root.glob("results/*/*.dvc"))


def test_a_project_without_results_has_nothing_to_track(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking.track(project.root, TRACKED)
    assert capsys.readouterr().err == ""


def test_a_missing_small_result_comes_out_of_any_bundle_that_is_here(
    root: Path, plan: Plan
) -> None:
    other = flow.current(root, title="Another title")
    lost = next(node for node in small(plan) if node.ref.stage == "evaluate")
    shutil.rmtree(Store(root).folder(lost.ref))
    restoring.restore_results(Store(root), [other.last])
    assert Store(root).exists(lost.ref)


def test_a_damaged_copy_in_a_bundle_is_not_put_in_place(
    root: Path, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(root)
    lost = next(node for node in small(plan) if node.ref.stage == "evaluate")
    copy = store.folder(plan.last.ref) / restoring.BUNDLE / str(lost.ref) / "metrics.json"
    copy.write_bytes(copy.read_bytes().replace(b"1", b"2", 1))
    shutil.rmtree(store.folder(lost.ref))
    restoring.restore_results(store, [plan.last])
    assert not store.folder(lost.ref).exists()
    assert f"the copy of {lost.ref} is damaged" in capsys.readouterr().err


def test_where_and_when_a_result_was_made_comes_back_from_the_records(
    root: Path, plan: Plan
) -> None:
    tracking.track(root, TRACKED)
    before = flow.files_of(root / "results")
    assert len(list(root.glob(f"{records.RECORDS}/*.json"))) == 1
    for file in (*root.glob("results/*/*/run.json"), *root.glob("results/*/*/code.json")):
        file.unlink()
    records.restore_run_info(Store(root))
    assert flow.files_of(root / "results") == before
    tracking.track(root, TRACKED)
    assert flow.files_of(root / "results") == before, "nothing new to record"


def test_a_deleted_result_is_taken_out_of_dvcs_cache_and_what_it_stands_on_is_not(
    root: Path, plan: Plan
) -> None:
    tracking.track(root, TRACKED)
    store = Store(root)
    before = listed(store, plan.last)
    for stage in STAGES:
        for node in plan.of_stage(stage):
            shutil.rmtree(store.folder(node.ref))
    restoring.restore_results(store, [plan.last])
    assert listed(store, plan.last) == before
    assert all(store.exists(node.ref) for node in small(plan)), "out of its bundle"
    assert not store.exists(plan.of_stage("encode")[0].ref)


def test_dvcs_cache_is_where_its_settings_say(
    root: Path, plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Project(root).run("dvc", "config", "--local", "cache.dir", str(tmp_path / "elsewhere"))
    tracking.track(root, TRACKED)
    assert not (root / ".dvc/cache").exists()
    store = Store(root)
    before = listed(store, plan.last)
    shutil.rmtree(store.folder(plan.last.ref))
    capsys.readouterr()
    restoring.restore_results(store, [plan.last])
    assert "results restored from DVC's cache: 1" in capsys.readouterr().err
    assert listed(store, plan.last) == before
    tracking.track(root, TRACKED)
    assert "new results" not in capsys.readouterr().err, "all of it is stored already"


def test_damaged_settings_of_dvc_are_named(root: Path, plan: Plan) -> None:
    tracking.track(root, TRACKED)
    shutil.rmtree(Store(root).folder(plan.last.ref))
    (root / ".dvc/config").write_text("[cache\n")
    with pytest.raises(VariorumError, match=r"\.dvc/config.*fix it"):
        restoring.restore_results(Store(root), [plan.last])


def listed(store: Store, node: Node) -> dict[str, str]:
    """The files of a result that its manifest lists."""
    found = flow.files_of(store.folder(node.ref))
    return {name: digest for name, digest in found.items() if Path(name).name not in VARYING}


def test_a_table_whose_variants_are_equal_carries_their_results_once(micro: Project) -> None:
    text = """
title: Twice
question: Do two spellings of one variant differ?
experiment: micro
variants: {one: {}, two: {pretrain: {max_steps: 30}}}
baseline: one
seeds: [1, 2]
"""
    (micro.root / "config/ablations/twice.yaml").write_text(text)
    plan = plan_ablation(load_ablation(micro.root, "twice"), micro.root)
    flow.finish(micro.root, plan)
    carried = restoring.bundled(Store(micro.root))
    evaluations, baselines = map(plan.of_stage, ("evaluate", "baselines"))
    assert sorted(carried) == sorted({node.ref for node in (*evaluations, *baselines)})
    assert len({node.ref for node in evaluations}) == 2
