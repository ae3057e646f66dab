"""Estimates are medians of past runs here, and unknown where none is like what is planned."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flow
from conftest import Project
from variorum.corpus import local_files
from variorum.identity.spec import Ref
from variorum.plan.experiment import Node, Plan
from variorum.run.estimate import Estimate, Estimates
from variorum.run.workload import workload
from variorum.store.result import RUN
from variorum.store.store import Store


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment and an ablation of it, complete."""
    return flow.finished_ablation(tmp_path_factory.mktemp("estimate") / "project")


@pytest.fixture
def copy(finished: Project, tmp_path: Path) -> Project:
    """The finished project, to take results from."""
    shutil.copytree(finished.root, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy")


def planned(root: Path, **changes: Any) -> Plan:
    return flow.current(root, **changes)


def noted(root: Path, ref: Ref, **facts: Any) -> None:
    """Change what a result's `run.json` says."""
    path = Store(root).folder(ref) / RUN
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def of_stage(
    root: Path, stage: str, processes: int = 1, **changes: Any
) -> tuple[Node, Estimate | None]:
    node = planned(root, **changes).of_stage(stage)[0]
    return node, Estimates(Store(root), processes).of(node)


def known(root: Path, stage: str, **changes: Any) -> Estimate:
    """The estimate of a stage's first result; there is one."""
    _, found = of_stage(root, stage, **changes)
    assert found is not None
    return found


def only_model(root: Path, stage: str = "pretrain") -> Ref:
    """Leave one training of the current experiment, and say that it took 12 s and 2 to start."""
    kept = planned(root).of_stage(stage)[0].ref
    for ref in Store(root).refs(stage):
        if ref != kept:
            shutil.rmtree(Store(root).folder(ref))
    noted(root, kept, seconds=12.0, start_seconds=2.0, tokens_per_second=1e9, processes=1)
    return kept


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_the_same_training_takes_as_long_as_it_took(copy: Project, stage: str) -> None:
    kept = only_model(copy.root, stage)
    found = known(copy.root, stage, seed=7)
    assert found.seconds == pytest.approx(14.0)
    assert found.runs == {kept}


def test_the_median_of_several_runs_counts(copy: Project) -> None:
    for ref in Store(copy.root).refs("pretrain"):
        noted(copy.root, ref, processes=1, tokens_per_second=1e9, start_seconds=1.0)
    runs = sorted(known(copy.root, "pretrain", seed=7).runs)
    assert len(runs) == 2, "of the ablation's four, two have the planned model"
    for ref, seconds in zip(runs, (10.0, 14.0), strict=True):
        noted(copy.root, ref, seconds=seconds)
    assert known(copy.root, "pretrain", seed=7).seconds == pytest.approx(13.0)


def test_a_training_with_twice_the_steps_takes_twice_as_long(copy: Project) -> None:
    only_model(copy.root)
    longer = {"max_steps": 60, "learning_rate": 0.002}
    assert known(copy.root, "pretrain", pretrain=longer).seconds == pytest.approx(2 + 24)


def test_a_training_that_was_resumed_counts_whole(copy: Project) -> None:
    kept = only_model(copy.root)
    noted(copy.root, kept, seconds=1.0, tokens_per_second=30 * 64 / 12.0)
    assert known(copy.root, "pretrain", seed=7).seconds == pytest.approx(14.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"feed_forward": "relu"}},
        {"model": {"n_embd": 64}},
        {"pretrain": {"batch_size": 8}},
        {"pretrain": {"optimizer": "muon"}},
        {"tokenizer": {"kind": "bpe", "vocab_size": 300}},
    ],
)
def test_another_model_batch_or_vocabulary_is_unknown(
    copy: Project, changes: dict[str, Any]
) -> None:
    only_model(copy.root)
    assert of_stage(copy.root, "pretrain", **changes)[1] is None


def test_another_number_of_processes_is_unknown(copy: Project) -> None:
    only_model(copy.root)
    assert of_stage(copy.root, "pretrain", processes=2, seed=7)[1] is None


@pytest.mark.parametrize("other", [{"processor": "another"}, {"device": "cuda"}])
@pytest.mark.parametrize("stage", ["pretrain", "stress"])
def test_other_processors_and_devices_tell_nothing(
    copy: Project, stage: str, other: dict[str, str]
) -> None:
    for ref in Store(copy.root).refs(stage):
        noted(copy.root, ref, **other)
    assert of_stage(copy.root, stage, seed=7)[1] is None


def cut_off(root: Path, ref: Ref) -> None:
    (Store(root).folder(ref) / RUN).write_text("{")


def without_metrics(root: Path, ref: Ref) -> None:
    (Store(root).folder(ref) / "metrics.json").unlink()


def without_tokenizer(root: Path, ref: Ref) -> None:
    shutil.rmtree(Store(root).folder(Store(root).peek(ref).spec.upstream["tokenizer"]))


@pytest.mark.parametrize("damage", [cut_off, without_metrics, without_tokenizer])
def test_a_run_that_lacks_something_tells_nothing(
    copy: Project, damage: Callable[[Path, Ref], None]
) -> None:
    damage(copy.root, only_model(copy.root))
    assert of_stage(copy.root, "pretrain", seed=7)[1] is None


def test_an_evaluation_on_the_same_text_tells_more_than_one_on_another(copy: Project) -> None:
    on_base, on_domain = planned(copy.root).of_stage("evaluate")[:2]
    for ref in Store(copy.root).refs("evaluate"):
        noted(copy.root, ref, seconds=99.0, start_seconds=1.0)
    text = on_domain.spec.upstream["text"]
    for ref in Store(copy.root).refs("evaluate"):
        if Store(copy.root).open(ref).spec.upstream["text"] == text:
            noted(copy.root, ref, seconds=5.0)
    node = planned(copy.root, seed=7).of_stage("evaluate")[1]
    assert node.label == on_domain.label != on_base.label
    found = Estimates(Store(copy.root), processes=1).of(node)
    assert found is not None
    assert found.seconds == 6.0


@pytest.mark.parametrize(("times", "is_known"), [(0.3, False), (1.5, True), (10.0, False)])
def test_a_text_of_another_size_tells_nothing(copy: Project, times: float, is_known: bool) -> None:
    for file in (copy.root / "texts/base").glob("*.txt"):
        text = file.read_text(encoding="utf-8")
        file.write_text((text * 10)[: int(len(text) * times)], encoding="utf-8")
    for stage in ("download", "normalize", "tokenizer", "encode", "baselines"):
        node, found = of_stage(copy.root, stage)
        assert not Store(copy.root).exists(node.ref)
        assert (found is not None) == is_known, stage


@pytest.mark.parametrize("target", [None, "positions"])
def test_a_text_is_looked_at_thrice_however_many_results_stand_on_it(
    copy: Project, monkeypatch: pytest.MonkeyPatch, target: str | None
) -> None:
    file = min((copy.root / "texts/base").glob("*.txt"))
    file.write_text(file.read_text(encoding="utf-8") + " More.", encoding="utf-8")
    found, walks = local_files._found, Counter[str]()

    def counted(path: str, *others: Any) -> Any:
        walks[path] += 1
        return found(path, *others)

    monkeypatch.setattr(local_files, "_found", counted)
    missing = workload(copy.root, target).missing
    assert {ref.stage for ref in missing} > {"download", "normalize", "encode", "evaluate"}
    changed = {path: times for path, times in walks.items() if "base" in path}
    # Their hash and their size at planning, and their size for estimates.
    assert set(changed.values()) == {3}, changed


def test_a_text_whose_size_nobody_knows_is_unknown(copy: Project) -> None:
    far = {"kind": "url", "url": "https://books.invalid/text.txt", "sha256": "0" * 64}
    node, found = of_stage(copy.root, "normalize", corpus={"base": {"source": far}})
    assert not Store(copy.root).exists(node.ref)
    assert found is None


def test_what_was_said_of_size_is_what_comes(copy: Project) -> None:
    """Another seed of everything, by results that are present, against its run in this process."""
    for ref in Store(copy.root).refs():  # they ran in this process
        noted(copy.root, ref, processes=2)
    found = workload(copy.root, None, {"seed": 5}, cores=2)
    before = {ref: estimate.n_bytes for ref, estimate in found.missing.items() if estimate}
    assert before.keys() == found.missing.keys()
    flow.finish(copy.root, planned(copy.root, seed=5))
    for ref, estimated in before.items():
        folder = Store(copy.root).folder(ref)
        real = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        assert estimated == pytest.approx(real, rel=0.3), ref
