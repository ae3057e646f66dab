"""On another platform a result that is made again passes within the tolerance of its stage."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rerunning import (
    by_the_copy,
    changed_output,
    costlier,
    details,
    folder_of,
    key_of,
    made_elsewhere,
    one,
)

import flow
from conftest import Project
from variorum import cli
from variorum.audit.verify import tolerances
from variorum.audit.verify.tolerances import LOSS_TOLERANCE, NUMBER_TOLERANCE
from variorum.evaluation import bits
from variorum.evaluation.stress import catalogue
from variorum.stages import figures, report, stress, table, tokenizer
from variorum.store.restoring import BUNDLE
from variorum.store.result import RUN
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
    score = bits.score
    factor = 1 + share * NUMBER_TOLERANCE
    monkeypatch.setattr(bits, "score", lambda *a, **k: costlier(score(*a, **k), factor))
    reference = key_of(root, "evaluate")
    assert not one(root, reference).passed, "here every byte counts"
    made_elsewhere(folder_of(root, "evaluate"), "numpy")
    outcome = one(root, reference)
    assert outcome.passed == (share < 1)
    assert outcome.verdict == ("within tolerance" if share < 1 else "different")
    assert "made on another platform (numpy 1.0 → " in outcome.rule
    assert "must agree to 0.1%: bits per byte " in outcome.rule
    assert set(details(outcome)) == {"metrics.json", "parts.csv"}


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
    assert outcome.rule.endswith("tokenizer gives the same bytes on every platform")


def test_another_version_of_a_library_that_the_stage_does_not_use_loosens_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = bits.score
    monkeypatch.setattr(bits, "score", lambda *a, **k: costlier(score(*a, **k), 1.0001))
    for library in ("pandas", "matplotlib", "jinja2"):
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


def of_cases(
    change: Callable[[dict[str, Any]], Any], name: str = "overflow-cache", file: str = "cases.json"
) -> Callable[[Path], None]:
    """Changes one case of a stress test: the cache behind a full context."""

    def edit(text: str) -> str:
        cases = json.loads(text)
        change(next(case for case in cases if case["name"] == name))
        return json.dumps(cases)

    return edited(file, edit)


def of_behaviour(
    change: Callable[[dict[str, Any]], Any], name: str = "context"
) -> Callable[[Path], None]:
    """Changes one case on behaviour: the use of context."""
    return of_cases(change, name, "behaviour.json")


def scaled_means(factor: float, **others: Any) -> Callable[[dict[str, Any]], None]:
    def change(case: dict[str, Any]) -> None:
        case.update(others)
        for row in (case["shown"], *case["rows"], *case["claims"]):
            for found in filter(None, row["found"].values()):
                found.update({end: factor * found[end] for end in ("mean", "low", "high")})

    return change


def unmeasured(case: dict[str, Any]) -> None:
    case["shown"]["found"]["model"] = None


def with_other_units(case: dict[str, Any]) -> None:
    case["shown"]["found"]["model"]["units"] += 1


def boundless(case: dict[str, Any]) -> None:
    case["shown"]["found"]["model"]["low"] = float("-inf")


def huge(case: dict[str, Any]) -> None:
    """Measure what is too large for a float."""
    case["measured"] = 10**400


def measured(factor: float, **others: Any) -> Callable[[dict[str, Any]], None]:
    return lambda case: case.update(measured=factor * case["measured"], **others)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (of_cases(measured(1.0001)), ""),
        (of_cases(measured(1.01)), "overflow-cache"),
        (of_cases(measured(1.01, excerpt="another text, drawn otherwise")), ""),
        (of_cases(lambda case: case.update(passed=not case["passed"])), "overflow-cache"),
        (of_cases(lambda case: case.update(threshold=9.0)), "overflow-cache"),
        (of_cases(lambda case: case.update(measured=None)), "overflow-cache"),
        (of_cases(huge), "overflow-cache"),
        (of_cases(lambda case: case.update(name="a")), "a, overflow-cache"),
        (of_behaviour(scaled_means(1.0001)), ""),
        (of_behaviour(scaled_means(1.01)), "context"),
        (of_behaviour(scaled_means(1.01), "repetition"), "repetition"),
        (of_behaviour(scaled_means(1.5, drawn="other tokens"), "repetition"), ""),
        (of_behaviour(lambda case: case.update(passed=not case["passed"])), "context"),
        (of_behaviour(lambda case: case["controls"].update(random=True)), "context"),
        (of_behaviour(lambda case: case["rows"].pop()), "context"),
        (of_behaviour(lambda case: case.update(name="a")), "a, context"),
        (of_behaviour(unmeasured), "context"),
        (of_behaviour(with_other_units), "context"),
        (of_behaviour(boundless), "context"),
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
    assert "each with the same verdict, and measures of the same text" in outcome.rule
    assert f"; broken by: {fault}" in outcome.rule if fault else "broken by" not in outcome.rule


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
    assert f"; broken by: {fault}" in outcome.rule if fault else "broken by" not in outcome.rule


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
    assert f"broken by: {BUNDLE}/evaluate/" in outcome.rule


def test_without_a_word_on_where_it_was_made_every_byte_counts(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "samples", lambda *a: [])
    (folder_of(root, "stress") / RUN).unlink()
    outcome = one(root, key_of(root, "stress"))
    assert not outcome.passed
    assert outcome.rule == "its platform is unknown: every byte must be the same"


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
