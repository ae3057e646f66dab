"""A stage made again gives the same bytes, or it is said which file differs, where, by how much."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from rerunning import (
    again,
    by_the_copy,
    changed_output,
    details,
    files_but_locks,
    folder_of,
    key_of,
    made_elsewhere,
    one,
    ref_of,
    refused,
)

import flow
import made_up
from conftest import Edit, Project
from variorum.audit.verify.rerun import Refused, RerunOutcome, rerun_all, summary
from variorum.audit.verify.selection import select
from variorum.base.errors import Stopped, VariorumError
from variorum.base.machine import Machine
from variorum.cli.command import main
from variorum.identity.spec import Spec
from variorum.stages import evaluate, stress, table
from variorum.stages.task import Task
from variorum.store.restoring import BUNDLE
from variorum.store.result import CODE, RUN
from variorum.store.store import Store
from variorum.training.schedules import cosine


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment and an ablation of it, run to the end, with their pages in place."""
    return flow.finished_ablation(tmp_path_factory.mktemp("rerun") / "project")


@pytest.fixture
def root(finished: Project, tmp_path: Path) -> Path:
    """A copy of the finished project, to change."""
    return flow.copied(finished, tmp_path / "project")


# The same


def test_every_result_of_an_experiment_comes_out_the_same(finished: Project) -> None:
    outcomes = again(finished.root)
    assert [outcome.ref for outcome in outcomes] == list(flow.current(finished.root).nodes)
    assert summary(outcomes) == "24 results: 24 identical"
    for outcome in outcomes:
        assert isinstance(outcome, RerunOutcome)
        assert outcome.passed
        assert outcome.notes == ()
        files = Store(finished.root).open(outcome.ref).manifest["files"]
        assert outcome.comparison.identical == len(files) > 0


def test_results_that_are_not_here_are_passed_over_unless_they_were_asked_for(root: Path) -> None:
    for stage in (
        "pretrain",
        "finetune",
        "evaluate",
        "dynamic",
        "comparisons",
        "stress",
        "figures",
        "report",
    ):
        shutil.rmtree(root / "results" / stage)
    outcomes = again(root)
    assert summary(outcomes) == "24 results: 9 identical, 15 not rerun"
    assert all(outcome.passed for outcome in outcomes)
    asked = again(root, "tokenizer", "pretrain")
    assert [outcome.passed for outcome in asked] == [True, False]
    with pytest.raises(
        VariorumError, match=r"nothing to run again: pretrain/\w+ is not here.*dvc pull"
    ):
        again(root, "pretrain")


# Not the same


def test_what_the_stage_does_otherwise_is_named_down_to_the_tensor(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slower = cosine.rate
    monkeypatch.setattr(cosine, "rate", lambda step, given: 0.999 * slower(step, given))
    outcome = one(root, "pretrain")
    assert (outcome.verdict, outcome.passed, outcome.notes) == ("different", False, ())
    assert outcome.rule == "made on this platform: every byte must be the same"
    found = details(outcome)
    assert {"config.json", "tokenizer.json"}.isdisjoint(found)
    assert found["model.safetensors"][0].startswith("tensor transformer.h.0.attn.c_attn.bias: ")
    assert "of 48 elements differ, by up to " in found["model.safetensors"][0]
    assert any(line.startswith("column learning_rate: row 2: ") for line in found["metrics.csv"])
    assert any(line.startswith("chosen_val_loss: ") for line in found["metrics.json"])
    lines = list(outcome.lines())
    assert lines[0].startswith(f"{outcome.ref}  micro  different ({8 - len(found)} of 8 files ")
    assert any(line.startswith("  model.safetensors: tensor ") for line in lines)


def test_files_that_come_or_do_not_come_are_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(output: Path) -> None:
        (output / "intervals.svg").rename(output / "drawing.svg")

    monkeypatch.setattr(table, "run", changed_output(table, rename))
    ref = next(Store(root).refs("table"))
    for elsewhere in (False, True):
        if elsewhere:
            made_elsewhere(Store(root).folder(ref))
        outcome = one(root, str(ref))
        assert outcome.verdict == "different"
        assert outcome.comparison.missing == ("intervals.svg",)
        assert outcome.comparison.extra == ("drawing.svg",)
        lines = list(outcome.lines())
        assert "  intervals.svg: is missing in the rerun" in lines
        assert "  drawing.svg: the stored result has no such file" in lines


def test_a_rerun_that_lacks_a_declared_product_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(output: Path) -> None:
        (output / "samples.json").unlink()

    monkeypatch.setattr(stress, "run", changed_output(stress, remove))
    assert "samples.json" in refused(root, key_of(root, "stress"))


def test_a_stored_file_that_is_damaged_is_told_from_one_that_comes_out_otherwise(
    root: Path,
) -> None:
    inner = next(folder_of(root, "report").glob(f"{BUNDLE}/evaluate/*"))
    path = inner / "metrics.json"
    path.write_text(path.read_text().replace('"stride": 8', '"stride": 9'))
    outcome = one(root, "report")
    name = path.relative_to(folder_of(root, "report")).as_posix()
    assert details(outcome) == {name: ("stride: 9 → 8 (by 1, relative 0.111)",)}
    assert outcome.notes == (f"{name}: the stored file is damaged: the rerun matches the manifest",)
    assert outcome.verdict == "different"


# Other code


def test_an_edit_that_changes_nothing_is_found_to_change_nothing(
    root: Path, package_copy: Path, edit: Edit
) -> None:
    edit("evaluation/bits.py", "total = math.fsum(nats)", "in_all = math.fsum(nats)")
    edit("evaluation/bits.py", "total / ", "in_all / ")
    ref = ref_of(root, "evaluate")
    done = by_the_copy(Project(root), package_copy, str(ref), str(ref_of(root, "tokenizer")))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(f"{ref}  pretrained on base  identical (2 files)")
    assert "the code has changed since the result was made" in done.stdout.splitlines()[1]
    assert done.stdout.count("the code has changed") == 1, "the tokenizer's is the same"
    assert done.stdout.splitlines()[-1] == "2 results: 2 identical"


def test_an_edited_constant_is_found_in_the_numbers(
    root: Path, package_copy: Path, edit: Edit
) -> None:
    edit("model/gelu.py", "0.044715", "0.044716")
    done = by_the_copy(Project(root), package_copy, str(ref_of(root, "pretrain")))
    assert done.returncode == 1, done.stderr
    text = "  the code has changed since the result was made: this tests the present code"
    assert text in done.stdout
    assert "  model.safetensors: tensor transformer.h.0.attn.c_attn.weight: " in done.stdout
    assert done.stdout.splitlines()[-1] == "1 result: 1 different"


def test_an_adopted_result_is_made_for_the_first_time(root: Path) -> None:
    old = ref_of(root, "tokenizer")
    outcome = one(root, str(made_up.adopted(root, old)))
    assert outcome.verdict == "identical"
    assert outcome.notes[0].startswith(f"it was adopted from {old}: ")
    assert outcome.notes[1].startswith("the code has changed since the result was made")


# Refused


def test_a_missing_upstream_is_named_with_its_remedy(root: Path) -> None:
    upstream = ref_of(root, "pretrain")
    shutil.rmtree(Store(root).folder(upstream))
    reason = refused(root, "finetune")
    assert (
        f"is made from {upstream}, which is not here; fetch it with `dvc pull -R results`" in reason
    )


def test_a_damaged_upstream_and_a_damaged_result_are_named(root: Path) -> None:
    (folder_of(root, "pretrain") / "model.safetensors").write_bytes(b"")
    for stage in ("pretrain", "finetune"):
        assert "model.safetensors has 0 bytes, its manifest says" in refused(root, stage)


def test_a_source_that_changed_is_named(root: Path) -> None:
    (root / "texts/base/03.txt").write_text("another sun\n")
    folder = str(Store(root).folder(next(Store(root).refs("download"))))
    refs = [str(Store(root).folder(ref)) for ref in Store(root).refs("download")]
    assert folder in refs
    outcomes = [outcome for ref in refs for outcome in again(root, ref)]
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Refused)]
    assert len(reasons) == 1
    assert "source.sha256: the 24 files of texts/base have SHA-256 " in reasons[0]


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        ("evaluate", {"evaluate": {"stride": 8, "a_setting_that_is_gone": 1}}),
        ("evaluate", {"evaluate": {}}),
        ("a_stage_that_is_gone", {}),
    ],
)
def test_settings_that_the_stage_no_longer_takes_are_refused(
    root: Path, stage: str, settings: dict[str, Any]
) -> None:
    store = Store(root)
    spec = Spec(stage, settings, {}, "c0de")
    output = store.scratch(spec.ref) / "output"
    output.mkdir(parents=True)
    (output / "metrics.json").write_text("{}\n")
    store.publish(spec, output, {}, {RUN: {}, CODE: {}})
    reason = refused(root, spec.ref.key)
    assert f"{stage} no longer takes its settings" in reason


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), Stopped("stopped after step 3 of 30")])
def test_an_interrupted_rerun_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def interrupted(task: Task) -> None:
        (task.output / "metrics.json").write_text("half")
        raise fault

    monkeypatch.setattr(evaluate, "run", interrupted)
    before = files_but_locks(root)
    with pytest.raises(type(fault)):
        list(rerun_all(select(root, [key_of(root, "evaluate")]), Machine()))
    assert files_but_locks(root) == before
    assert not (root / "scratch/rerun").exists()


# The command


def test_the_command_ends_with_status_1_if_anything_differs(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["variorum", "verify", "--rerun", "tokenizer"])
    for damaged in (False, True):
        if damaged:
            path = folder_of(root, "tokenizer") / "tokenizer.json"
            path.write_bytes(path.read_bytes().replace(b"\n", b" ", 1))
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == int(damaged)
        out = capsys.readouterr().out
        assert ("different" if damaged else "identical") in out.splitlines()[0]
        assert out.splitlines()[-1] == f"1 result: 1 {'different' if damaged else 'identical'}"
