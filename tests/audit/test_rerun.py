"""A stage made again gives the same bytes, or it is said which file differs, where, by how much."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up
import pytest
import torch

import flow
from conftest import Edit, Project
from variorum import cli
from variorum.audit.verify import tolerances
from variorum.audit.verify.rerun import Refused, Rerun, rerun_all, summary
from variorum.audit.verify.selection import choose
from variorum.audit.verify.tolerances import LOSS_TOLERANCE, NUMBER_TOLERANCE
from variorum.engines.tracking import BUNDLE
from variorum.errors import Stopped, VariorumError
from variorum.evaluation.bits import Scores
from variorum.machine import Machine
from variorum.stages import evaluate, figures, report, stress, table, tokenizer
from variorum.store import CODE, RUN, Ref, Spec, Store, readable_json, sealed, sha256_of
from variorum.task import Task
from variorum.training.schedules import cosine


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment and an ablation of it, run to the end, with their pages in place."""
    return flow.finished_ablation(tmp_path_factory.mktemp("rerun") / "project")


@pytest.fixture
def root(finished: Project, tmp_path: Path) -> Path:
    """A copy of the finished project, to change."""
    return flow.copied(finished, tmp_path / "project")


def costlier(scores: Scores, factor: float) -> Scores:
    """Scores of which every token costs so much more."""
    return replace(scores, nats=factor * scores.nats)


def files_but_locks(root: Path) -> dict[str, str]:
    """Every file with its hash, without the empty ones that locks are held on."""
    files = flow.files_of(root).items()
    return {name: digest for name, digest in files if not name.startswith("scratch/locks/")}


def again(root: Path, *references: str) -> list[Rerun | Refused]:
    """Make results again; nothing of the project may change by it."""
    before = files_but_locks(root)
    outcomes = list(rerun_all(choose(root, references), Machine(processes=2)))
    assert files_but_locks(root) == before
    return outcomes


def one(root: Path, reference: str) -> Rerun:
    (outcome,) = again(root, reference)
    assert isinstance(outcome, Rerun)
    return outcome


def refused(root: Path, reference: str) -> str:
    (outcome,) = again(root, reference)
    assert isinstance(outcome, Refused)
    assert not outcome.passed
    return outcome.reason


def ref_of(root: Path, stage: str, place: int = 0) -> Ref:
    return flow.current(root).of_stage(stage)[place].ref


def folder_of(root: Path, stage: str, place: int = 0) -> Path:
    return Store(root).folder(ref_of(root, stage, place))


def key_of(root: Path, stage: str) -> str:
    """A reference to the first result of a stage that has several."""
    return str(ref_of(root, stage))


def details(outcome: Rerun) -> dict[str, tuple[str, ...]]:
    return {each.name: each.details for each in outcome.comparison.differing}


def made_elsewhere(folder: Path, library: str | None = None) -> None:
    """Make a result look as if another processor, or another version of a library, made it."""
    run = json.loads((folder / RUN).read_text(encoding="utf-8"))
    if library is None:
        run["processor"] = "A Processor (avx9)"
    else:
        run["libraries"][library] = "1.0"
    (folder / RUN).write_text(readable_json(sealed(run, sha256_of(folder / CODE))))


# The same


def test_every_result_of_an_experiment_comes_out_the_same(finished: Project) -> None:
    outcomes = again(finished.root)
    assert [outcome.ref for outcome in outcomes] == list(flow.current(finished.root).nodes)
    assert summary(outcomes) == "17 results: 17 identical"
    for outcome in outcomes:
        assert isinstance(outcome, Rerun)
        assert outcome.passed
        assert outcome.notes == ()
        files = Store(finished.root).open(outcome.ref).manifest["files"]
        assert outcome.comparison.identical == len(files) > 0


def test_results_that_are_not_here_are_passed_over_unless_they_were_asked_for(root: Path) -> None:
    for stage in ("pretrain", "finetune", "figures", "evaluate", "stress", "report"):
        shutil.rmtree(root / "results" / stage)
    outcomes = again(root)
    assert summary(outcomes) == "17 results: 7 identical, 10 not made again"
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


def changed_output(module: Any, change: Callable[[Path], None]) -> Callable[[Task], None]:
    """A stage's function that changes its output at the end."""
    run = module.run

    def changed(task: Task) -> None:
        run(task)
        change(task.output)

    return changed


def test_files_that_come_or_do_not_come_are_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(output: Path) -> None:
        (output / "samples.json").rename(output / "texts.json")

    monkeypatch.setattr(stress, "run", changed_output(stress, rename))
    for elsewhere in (False, True):
        if elsewhere:
            made_elsewhere(folder_of(root, "stress"))
        outcome = one(root, key_of(root, "stress"))
        assert outcome.verdict == "different"
        assert outcome.comparison.missing == ("samples.json",)
        assert outcome.comparison.extra == ("texts.json",)
        lines = list(outcome.lines())
        assert "  samples.json: was not made again" in lines
        assert "  texts.json: the stored result has no such file" in lines


def test_a_stored_file_that_is_damaged_is_told_from_one_that_comes_out_otherwise(
    root: Path,
) -> None:
    inner = next(folder_of(root, "report").glob(f"{BUNDLE}/evaluate/*"))
    path = inner / "metrics.json"
    path.write_text(path.read_text().replace('"stride": 8', '"stride": 9'))
    outcome = one(root, "report")
    name = path.relative_to(folder_of(root, "report")).as_posix()
    assert details(outcome) == {name: ("stride: 9 → 8 (by 1, relative 0.111)",)}
    assert outcome.notes == (f"{name}: the stored file is damaged: the manifest has what came out",)
    assert outcome.verdict == "different"


# Other code


def by_the_copy(
    project: Project, package: Path, *words: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`variorum verify --rerun` by a copy of the package."""
    extra = {"PYTHONPATH": str(package.parent), **(environment or {})}
    script = "import sys; from variorum.cli import main; sys.argv[0] = 'variorum'; main()"
    return project.run(
        sys.executable, "-c", script, "verify", "--rerun", *words, check=False, environment=extra
    )


def test_an_edit_that_changes_nothing_is_found_to_change_nothing(
    finished: Project, package_copy: Path, edit: Edit
) -> None:
    edit("evaluation/bits.py", "total = math.fsum(nats)", "in_all = math.fsum(nats)")
    edit("evaluation/bits.py", "total / ", "in_all / ")
    ref = ref_of(finished.root, "evaluate")
    done = by_the_copy(finished, package_copy, str(ref), str(ref_of(finished.root, "tokenizer")))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(f"{ref}  pretrained on base  identical (1 files)")
    assert "the code is another than the one that made it" in done.stdout.splitlines()[1]
    assert done.stdout.count("the code is another") == 1, "the tokenizer's is the same"
    assert done.stdout.splitlines()[-1] == "2 results: 2 identical"


def test_an_edited_constant_is_found_in_the_numbers(
    finished: Project, package_copy: Path, edit: Edit
) -> None:
    edit("model/gelu.py", "0.044715", "0.044716")
    done = by_the_copy(finished, package_copy, str(ref_of(finished.root, "pretrain")))
    assert done.returncode == 1, done.stderr
    assert "  the code is another than the one that made it: this tests the code" in done.stdout
    assert "  model.safetensors: tensor transformer.h.0.attn.c_attn.weight: " in done.stdout
    assert done.stdout.splitlines()[-1] == "1 results: 1 different"


def test_an_adopted_result_is_made_for_the_first_time(root: Path) -> None:
    old = ref_of(root, "tokenizer")
    outcome = one(root, str(made_up.adopted(root, old)))
    assert outcome.verdict == "identical"
    assert outcome.notes[0].startswith(f"it was adopted from {old}: ")
    assert outcome.notes[1].startswith("the code is another than the one that made it")


# Another platform


def test_other_kernels_are_another_platform_where_losses_must_agree(finished: Project) -> None:
    package = Path(cli.__file__).parent
    kernels = {"ATEN_CPU_CAPABILITY": "default"}
    done = by_the_copy(finished, package, "pretrain", "tokenizer", environment=kernels)
    assert done.returncode == 0, done.stdout + done.stderr
    made_with = torch.backends.cpu.get_cpu_capability()
    if made_with == "DEFAULT":  # the only ones that this processor has
        assert done.stdout.splitlines()[-1] == "2 results: 2 identical"
        return
    assert done.stdout.splitlines()[-1] == "2 results: 1 within tolerance, 1 identical"
    assert f"made on another platform (PyTorch's kernels {made_with} → DEFAULT): " in done.stdout
    assert "must agree to 2.0%: chosen loss " in done.stdout
    assert "  model.safetensors: tensor " in done.stdout


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_elsewhere_bits_per_byte_may_differ_within_the_tolerance(
    root: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    score = evaluate.score
    factor = 1 + share * NUMBER_TOLERANCE
    monkeypatch.setattr(evaluate, "score", lambda *a, **k: costlier(score(*a, **k), factor))
    reference = key_of(root, "evaluate")
    assert not one(root, reference).passed, "here every byte counts"
    made_elsewhere(folder_of(root, "evaluate"), "numpy")
    outcome = one(root, reference)
    assert outcome.passed == (share < 1)
    assert outcome.verdict == ("within tolerance" if share < 1 else "different")
    assert "made on another platform (numpy 1.0 → " in outcome.rule
    assert "must agree to 0.1%: bits per byte " in outcome.rule
    assert set(details(outcome)) == {"metrics.json"}


@pytest.mark.parametrize("factor", [0.99, 5.0])
def test_elsewhere_losses_may_differ_within_the_tolerance(
    root: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    rate = cosine.rate
    monkeypatch.setattr(cosine, "rate", lambda step, given: factor * rate(step, given))
    folder = folder_of(root, "finetune")
    made_elsewhere(folder)
    outcome = one(root, "finetune")
    assert outcome.passed == (factor < 1)
    old = json.loads((folder / "metrics.json").read_text())["chosen_val_loss"]
    assert f"must agree to {LOSS_TOLERANCE:.1%}: chosen loss {old:.6g} → " in outcome.rule


def test_elsewhere_a_tokenizer_must_be_the_same_all_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_a_space(output: Path) -> None:
        path = output / "tokenizer.json"
        path.write_text(path.read_text() + " ")

    monkeypatch.setattr(tokenizer, "run", changed_output(tokenizer, add_a_space))
    made_elsewhere(folder_of(root, "tokenizer"))
    outcome = one(root, "tokenizer")
    assert not outcome.passed
    assert outcome.rule.endswith("tokenizer gives the same bytes on all of them")


def test_another_version_of_a_library_that_the_stage_does_not_use_loosens_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = evaluate.score
    monkeypatch.setattr(evaluate, "score", lambda *a, **k: costlier(score(*a, **k), 1.0001))
    for library in ("pandas", "matplotlib", "jinja2", "scipy"):
        made_elsewhere(folder_of(root, "evaluate"), library)
    outcome = one(root, key_of(root, "evaluate"))
    assert not outcome.passed
    assert outcome.rule == "made on this platform: every byte must be the same"


def edited(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    """Changes the text of one file of an output, which must then be another."""

    def edit(output: Path) -> None:
        text = (output / name).read_text(encoding="utf-8")
        assert change(text) != text
        (output / name).write_text(change(text), encoding="utf-8")

    return edit


def of_cases(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Changes one case of a stress test: how much harder text is once the window slid."""

    def edit(text: str) -> str:
        cases = json.loads(text)
        change(next(case for case in cases if case["name"] == "overflow-loss"))
        return json.dumps(cases)

    return edited("cases.json", edit)


def measured(factor: float, **others: Any) -> Callable[[dict[str, Any]], None]:
    return lambda case: case.update(measured=factor * case["measured"], **others)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (of_cases(measured(1.0001)), ""),
        (of_cases(measured(1.01)), "overflow-loss"),
        (of_cases(measured(1.01, excerpt="another text, drawn otherwise")), ""),
        (of_cases(lambda case: case.update(passed=not case["passed"])), "overflow-loss"),
        (of_cases(lambda case: case.update(threshold=9.0)), "overflow-loss"),
        (of_cases(lambda case: case.update(measured=None)), "overflow-loss"),
        (of_cases(lambda case: case.update(name="a")), "a, overflow-loss"),
        (edited("samples.json", lambda text: text.replace('"text": "', '"text": "a')), ""),
        (edited("samples.json", lambda text: text.replace('"the ', '"a ')), "prompts"),
        (edited("samples.json", lambda text: "[]"), "prompts"),
    ],
)
def test_elsewhere_a_stress_test_must_come_to_the_same_verdicts_by_the_same_measures(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    fault: str,
) -> None:
    monkeypatch.setattr(stress, "run", changed_output(stress, change))
    made_elsewhere(folder_of(root, "stress"))
    outcome = one(root, key_of(root, "stress"))
    assert outcome.passed == (not fault)
    assert "each with the same verdict, and what is measured of the same text" in outcome.rule
    assert f"; not so: {fault}" in outcome.rule if fault else "not so" not in outcome.rule


@pytest.mark.parametrize(
    ("stage", "change", "fault"),
    [
        (figures, edited("curves.svg", lambda text: text.replace("0", "1")), ""),
        (report, edited("curves.csv", lambda text: scaled(text, 1.0001)), ""),
        (report, edited("curves.csv", lambda text: scaled(text, 1.01)), "curves.csv"),
        (report, edited("curves.csv", lambda text: text.rsplit("\n", 2)[0]), "curves.csv"),
        (report, edited("metrics.json", lambda text: scaled(text, 1.0001)), ""),
        (report, edited("metrics.json", lambda text: scaled(text, 1.01)), "metrics.json"),
        (report, edited("metrics.json", lambda text: text.replace("base", "b")), "metrics.json"),
        (report, edited("report.html", lambda text: text.replace("bits", "bats")), "report.html"),
        (table, edited("intervals.svg", lambda text: text.replace("0", "1")), ""),
        (table, edited("table.csv", lambda text: scaled(text, 1.0001)), ""),
        (table, edited("table.csv", lambda text: scaled(text, 1.01)), "table.csv"),
        (table, edited("table.csv", lambda text: text.replace("mean", "median")), "table.csv"),
        (table, edited("table.md", lambda text: scaled(text, 1.01)), "table.md"),
    ],
)
def test_elsewhere_tables_and_pages_may_differ_in_fractions_within_the_tolerance(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: Any,
    change: Callable[[Path], None],
    fault: str,
) -> None:
    name = stage.__name__.split(".")[-1]
    ref = next(Store(root).refs(name))
    monkeypatch.setattr(stage, "run", changed_output(stage, change))
    made_elsewhere(Store(root).folder(ref))
    outcome = one(root, str(ref))
    assert not outcome.comparison.is_identical
    assert outcome.passed == (not fault)
    assert "in fractions alone, which must agree to 0.1%" in outcome.rule
    assert f"; not so: {fault}" in outcome.rule if fault else "not so" not in outcome.rule


def scaled(text: str, factor: float) -> str:
    """A text with every number that has a point multiplied."""
    return re.sub(r"(?<![\w.])\d+\.\d+(?!\w)", lambda found: str(factor * float(found[0])), text)


def test_elsewhere_what_a_page_carries_must_be_the_same_all_the_same(root: Path) -> None:
    inner = next(folder_of(root, "report").glob(f"{BUNDLE}/evaluate/*/metrics.json"))
    other = re.sub(r"(\.\d{6})\d", r"\g<1>0", inner.read_text())  # of the same length
    assert other != inner.read_text()
    inner.write_text(other)
    made_elsewhere(folder_of(root, "report"))
    outcome = one(root, "report")
    assert not outcome.passed
    assert f"not so: {BUNDLE}/evaluate/" in outcome.rule


def test_without_a_word_on_where_it_was_made_every_byte_counts(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stress, "samples", lambda *a: [])
    (folder_of(root, "stress") / RUN).unlink()
    outcome = one(root, key_of(root, "stress"))
    assert not outcome.passed
    assert outcome.rule == "where it was made is not known: every byte must be the same"


# Refused


def test_a_missing_upstream_is_named_with_its_remedy(root: Path) -> None:
    upstream = ref_of(root, "pretrain")
    shutil.rmtree(Store(root).folder(upstream))
    reason = refused(root, "finetune")
    assert f"is made from {upstream}, which is not here; fetch it with `dvc pull`" in reason


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
        list(rerun_all(choose(root, [key_of(root, "evaluate")]), Machine()))
    assert files_but_locks(root) == before
    assert not (root / "scratch/rerun").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version 2.5.1", "version 2.501.1"),
        ("key 812345e67890", "key 712345e67891"),
        ("1e999", "2e999"),
        ("0.5 inf", "0.5 nan"),
    ],
)
def test_what_only_looks_like_a_fraction_has_to_be_the_same(
    tmp_path: Path, old: str, new: str
) -> None:
    for name, text in (("old", old), ("new", new)):
        (tmp_path / name).write_text(text)
    assert tolerances._is_like(tmp_path / "old", tmp_path / "old")
    assert not tolerances._is_like(tmp_path / "old", tmp_path / "new")


def test_fractions_that_agree_are_alike(tmp_path: Path) -> None:
    for name, text in (("old", "a 1.2345 b 3.0e-05, 7."), ("new", "a 1.2346 b 3.0e-05, 7.")):
        (tmp_path / name).write_text(text)
    assert tolerances._is_like(tmp_path / "old", tmp_path / "new")


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
            cli.main()
        assert end.value.code == int(damaged)
        out = capsys.readouterr().out
        assert ("different" if damaged else "identical") in out.splitlines()[0]
        assert out.splitlines()[-1] == f"1 results: 1 {'different' if damaged else 'identical'}"
