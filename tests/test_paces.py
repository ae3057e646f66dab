"""Budgets of time: paces are measured once, locked, and decide steps from then on."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from conftest import Command, add_micro_experiment, copy_project
from variorum import paces
from variorum.ablation_plan import plan_ablation
from variorum.ablations import PaceError, load_ablation, steps_to_pace
from variorum.config.model_settings import ModelSettings
from variorum.config.setting_errors import ConfigError
from variorum.config.training_settings import FinetuneSettings, TrainingSettings
from variorum.engines.workflow import Flow
from variorum.errors import VariorumError
from variorum.forecasts import pace, pace_lock
from variorum.forecasts.pace import Pace
from variorum.machine import processor
from variorum.paces import LOCK, MATTER, Entry, Steps

VARIANTS: dict[str, Any] = {
    "small": {},
    "wide": {"model": {"n_embd": 32}},
    "deep": {"model": {"n_layer": 3}},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The micro experiment and an ablation of it with equal time."""
    root = tmp_path_factory.mktemp("paces") / "project"
    add_micro_experiment(copy_project(root))
    return root


@pytest.fixture
def here(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That project, without paces."""
    monkeypatch.chdir(shared)
    monkeypatch.delenv("VARIORUM_LOCKED", raising=False)
    (shared / LOCK).unlink(missing_ok=True)
    asked(shared)
    return shared


def asked(root: Path, **said: Any) -> None:
    """Write the ablation `equal`, the project's only one."""
    shutil.rmtree(root / "config/ablations")
    (root / "config/ablations").mkdir()
    write(root, "equal", **said)


def write(root: Path, name: str, **said: Any) -> None:
    """Write an ablation with a budget of time."""
    said = {
        "title": "Sizes",
        "question": "Which size needs the fewest bits in the same time?",
        "experiment": "micro",
        "variants": VARIANTS,
        "baseline": "small",
        "seeds": [1, 2],
        "budget": "time",
        **said,
    }
    with (root / f"config/ablations/{name}.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(said, file)


def lock(root: Path, **seconds: float) -> None:
    """Lock the paces of these variants."""
    asked = steps_to_pace(root, "equal")
    known = {
        asked[name].entry_of("equal"): Entry(value, f"equal/{name}", "a processor")
        for name, value in seconds.items()
    }
    (root / LOCK).write_text(paces.written(known), encoding="utf-8")


def steps(root: Path) -> dict[str, int]:
    """The steps of each variant."""
    found = load_ablation(root, "equal").variants
    return {name: v.experiment.settings.pretrain.max_steps for name, v in found.items()}


def keys(root: Path) -> dict[str, set[str]]:
    """The keys of each variant's models."""
    found: dict[str, set[str]] = {}
    for name, node in plan_ablation(load_ablation(root, "equal"), root).last.upstream.items():
        if name.endswith("/model"):
            found.setdefault(name.split("/")[0], set()).add(node.ref.key)
    return found


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """What a step takes, by the model's width and layers; timing itself is tested elsewhere."""
    seconds = {16 * 1: 0.01, 32 * 1: 0.03, 16 * 3: 0.025}

    def measure(asked: Sequence[Steps], **how: Any) -> list[Pace]:
        sizes = [each.model.n_embd * each.model.n_layer for each in asked]
        return [Pace(seconds[size], 0.04, 100) for size in sizes]

    monkeypatch.setattr(pace, "measure", measure)
    return seconds


# The file


TEXTS = st.text(st.characters(codec="utf-8"), max_size=9)


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.tuples(st.text("ab-_1", min_size=1), st.text("01ef", min_size=12, max_size=12)).map(
            "/".join
        ),
        st.builds(Entry, st.floats(1e-9, 1e9), TEXTS, TEXTS, TEXTS),
    )
)
def test_a_lock_is_read_as_it_was_written_and_is_sorted(known: dict[str, Entry]) -> None:
    text = paces.written(known)
    assert paces.read(text) == known
    assert paces.written(dict(reversed(known.items()))) == text


@pytest.mark.parametrize(
    "content", ["- a", "a: b", "a: {seconds: 1.0}", "a: {seconds: -1.0, variant: b}", "{", "a: 1"]
)
def test_a_damaged_lock_is_one_line_with_its_remedy(here: Path, content: str) -> None:
    (here / LOCK).write_text(content)
    with pytest.raises(
        VariorumError, match=r"^config/paces\.lock: cannot be read; restore"
    ) as error:
        load_ablation(here, "equal")
    assert "\n" not in str(error.value)


def test_every_setting_of_a_training_is_known_to_matter_or_not() -> None:
    """A new one is put on one side: here, or among those that paces depend on."""
    others = {
        *("learning_rate", "min_learning_rate", "warmup_steps", "max_steps", "schedule"),
        *("decay_share", "momentum", "matrix_rate", "beta1", "beta2", "epsilon", "weight_decay"),
        *("grad_clip", "batches", "stride", "patience", "val_interval", "val_tokens"),
        *("selection", "sample_tokens", "replay"),
    }
    assert set(FinetuneSettings.model_fields) == others | set(MATTER)


def test_what_a_step_does_decides_the_entry_and_nothing_else() -> None:
    one = Steps(ModelSettings(), 300, TrainingSettings())
    same = TrainingSettings(learning_rate=5e-3, max_steps=777, schedule="linear", val_interval=9)
    assert Steps(ModelSettings(), 300, same).digest == one.digest
    others = [
        Steps(ModelSettings(n_layer=3), 300, TrainingSettings()),
        Steps(ModelSettings(), 301, TrainingSettings()),
        Steps(ModelSettings(), None, TrainingSettings()),
        Steps(ModelSettings(), 300, TrainingSettings(optimizer="muon")),
        Steps(ModelSettings(), 300, TrainingSettings(batch_size=26)),
    ]
    assert len({one.digest, *(each.digest for each in others)}) == 1 + len(others)


# Steps


@settings(max_examples=10)
@given(st.floats(1e-3, 1.0), st.floats(1e-3, 1.0))
def test_equal_time_is_equal_within_half_a_step(shared: Path, baseline: float, own: float) -> None:
    asked(shared, variants={name: VARIANTS[name] for name in ("small", "wide")})
    lock(shared, small=baseline, wide=own)
    found = steps(shared)
    assert found["small"] == 30
    assert found["wide"] == 1 or abs(found["wide"] * own - 30 * baseline) <= own / 2 * 1.001


@pytest.fixture(autouse=True)
def no_warm_up(shared: Path) -> None:
    """Any number of steps is allowed."""
    file = shared / "config/experiments/micro.yaml"
    file.write_text(file.read_text().replace("warmup_steps: 3", "warmup_steps: 0"))


def test_a_changed_pace_changes_the_steps_and_keys_of_that_variant_alone(here: Path) -> None:
    lock(here, small=0.01, wide=0.03, deep=0.025)
    assert steps(here) == {"small": 30, "wide": 10, "deep": 12}
    before = keys(here)
    lock(here, small=0.01, wide=0.02, deep=0.025)
    assert steps(here) == {"small": 30, "wide": 15, "deep": 12}
    after = keys(here)
    assert {name for name in before if before[name] != after[name]} == {"wide"}


def test_keys_are_the_same_wherever_the_lock_is(here: Path, tmp_path: Path) -> None:
    lock(here, small=0.01, wide=0.03, deep=0.025)
    shutil.copytree(here, tmp_path / "clone")
    assert keys(tmp_path / "clone") == keys(here)


def test_only_how_paces_compare_counts(here: Path) -> None:
    lock(here, small=0.01, wide=0.03, deep=0.025)
    before = keys(here)
    lock(here, small=0.02, wide=0.06, deep=0.05)
    assert keys(here) == before


def test_every_value_that_is_tried_trains_as_long_as_the_baseline(here: Path) -> None:
    two = {name: VARIANTS[name] for name in ("small", "wide")}
    asked(here, variants=two, tune={"pretrain.batch_size": [4, 8, 16]})
    small = {"small": 0.01, "small@8": 0.02, "small@16": 0.03}
    lock(here, **small, **{"wide": 0.03, "wide@8": 0.05, "wide@16": 0.1})
    tried = {
        name: [each.settings.pretrain.max_steps for _, _, each in variant.runs]
        for name, variant in load_ablation(here, "equal").variants.items()
    }
    assert tried == {"small": [30, 30, 15, 10], "wide": [10, 10, 6, 3]}


def test_a_rate_that_is_tuned_leaves_the_pace_as_it_is(here: Path) -> None:
    lock(here, small=0.01, wide=0.03, deep=0.025)
    asked(here, tune={"pretrain.learning_rate": [0.001, 0.01, 0.1]})
    for variant in load_ablation(here, "equal").variants.values():
        tried = {each.settings.pretrain.max_steps for _, _, each in variant.runs}
        assert tried == {variant.experiment.settings.pretrain.max_steps}


def test_a_budget_that_ends_within_the_warm_up_is_told_with_its_variant(here: Path) -> None:
    file = here / "config/experiments/micro.yaml"
    file.write_text(file.read_text().replace("warmup_steps: 0", "warmup_steps: 5"))
    lock(here, small=0.01, wide=0.1, deep=0.025)
    with pytest.raises(ConfigError) as error:
        load_ablation(here, "equal")
    file.write_text(file.read_text().replace("warmup_steps: 5", "warmup_steps: 0"))
    line = str(error.value)
    assert line.startswith(
        "config/ablations/equal.yaml:16: budget: with the steps that variant wide gets, "
    )
    assert "warmup_steps: 5 leaves nothing of max_steps = 3" in line
    assert "\n" not in line


# Measuring


def test_a_missing_pace_is_no_reason_to_measure_for_who_only_looks(here: Path) -> None:
    with pytest.raises(PaceError) as error:
        load_ablation(here, "equal")
    assert str(error.value) == (
        "config/ablations/equal.yaml:16: budget: unlocked: config/paces.lock has no pace of "
        "variant small; run `variorum lock`, and commit the file"
    )
    with pytest.raises(SystemExit):
        Flow(here, {}, dry_run=True).table(type("wildcards", (), {"ablation": "equal"}))
    assert not (here / LOCK).exists()


def test_a_missing_pace_is_measured_at_planning_announced_and_then_read(
    here: Path,
    timed: dict[int, float],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = Flow(here, {}, dry_run=False).ablation("equal")
    said = capsys.readouterr()
    assert "equal: measures how long steps of small, wide, deep take" in said.err
    assert "config/paces.lock: equal/wide = 0.03 s a step; commit it" in said.err
    assert said.out == ""
    assert steps(here) == {"small": 30, "wide": 10, "deep": 12}

    timed.clear()  # now nothing can be measured
    monkeypatch.setenv("VARIORUM_LOCKED", "1")
    assert Flow(here, {}, dry_run=False).ablation("equal").last.ref == plan.last.ref
    assert capsys.readouterr().err == ""


def test_locked_a_missing_pace_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VARIORUM_LOCKED", "1")
    refused = (
        "^unlocked: config/paces.lock has no pace of equal/small, equal/wide, equal/deep, and "
        "VARIORUM_LOCKED forbids to measure it; where it is not set, run `variorum lock`"
    )
    with pytest.raises(VariorumError, match=refused):
        Flow(here, {}, dry_run=False).ablation("equal")
    assert not (here / LOCK).exists()


def test_a_variant_that_comes_later_is_compared_with_what_is_locked(
    here: Path, timed: dict[int, float]
) -> None:
    lock(here, small=0.01, wide=0.03)
    locked = paces.entries(here)
    for size in timed:
        timed[size] *= 5  # a slower machine, or a busier day
    assert pace_lock.resolve(here) == ["equal/deep"]
    known = paces.entries(here)
    assert {digest: known[digest] for digest in locked} == locked
    deep = steps_to_pace(here, "equal")["deep"]
    assert known[deep.entry_of("equal")].seconds == pytest.approx(0.025)


def test_paces_of_two_days_are_never_compared(here: Path, timed: dict[int, float]) -> None:
    """One ablation needs the paces that two others have, each from a day of its own."""
    small, wide, deep = ({name: VARIANTS[name]} for name in VARIANTS)
    asked(here, variants=small | wide)
    pace_lock.resolve(here)
    for size in timed:
        timed[size] *= 10
    write(here, "second", variants=deep | {"narrow": {"model": {"n_embd": 8}}}, baseline="deep")
    timed[8] = 0.05
    pace_lock.resolve(here)
    first = paces.entries(here)

    write(here, "third", variants=small | deep)
    assert pace_lock.resolve(here) == ["third/small", "third/deep"]
    found = load_ablation(here, "third").variants["deep"].experiment.settings
    assert found.pretrain.max_steps == 12

    before = steps(here)
    pace_lock.accept(here, "third")
    assert steps(here) == before
    assert {name: entry for name, entry in paces.entries(here).items() if name in first} == first


@pytest.mark.parametrize("how", ["accepted", "none was left"])
def test_a_variant_that_comes_back_is_measured_again(
    here: Path, timed: dict[int, float], how: str
) -> None:
    """Its entry would be of another day than those that were measured without it."""
    pace_lock.resolve(here)
    for size in timed:
        timed[size] *= 10
    narrow, deep = {"model": {"n_embd": 8}}, VARIANTS["deep"]
    timed[8] = 0.05
    if how == "accepted":
        asked(here, variants={"small": {}, "deep": deep})
        pace_lock.accept(here, "equal")
    else:
        lone = {"model": {"n_embd": 8, "n_layer": 2}}
        timed[8 * 2] = 0.1
        asked(here, variants={"narrow": narrow, "lone": lone}, baseline="narrow")
        pace_lock.resolve(here)
    asked(here)
    assert "equal/wide" in pace_lock.resolve(here)
    assert steps(here) == {"small": 30, "wide": 10, "deep": 12}


def test_a_tuned_value_has_a_pace_of_its_own_where_it_matters(here: Path) -> None:
    asked(here, tune={"pretrain.learning_rate": [0.001, 0.01, 0.1]})
    assert list(steps_to_pace(here, "equal")) == ["small", "wide", "deep"]
    asked(here, tune={"pretrain.batch_size": [4, 8, 16]}, variants={"small": {}, "same": {}})
    assert list(steps_to_pace(here, "equal")) == ["small", "small@8", "small@16"]


def test_what_cannot_be_tuned_is_refused_before_its_pace_is_measured(here: Path) -> None:
    asked(here, tune={"pretrain.val_tokens": [64, 128, 256]})
    with pytest.raises(ConfigError, match="is chosen by the loss on val"):
        steps_to_pace(here, "equal")


def test_an_entry_tells_where_it_was_measured(here: Path, timed: dict[int, float]) -> None:
    pace_lock.resolve(here)
    assert {(e.processor, e.device) for e in paces.entries(here).values()} == {(processor(), "cpu")}


def test_trainings_of_two_stages_have_paces_of_their_own(
    here: Path, timed: dict[int, float]
) -> None:
    tuned = {"last_stage": "finetune", "finetune": {"batch_size": 8}}
    asked(here, variants={"small": {}, "tuned": tuned})
    assert list(steps_to_pace(here, "equal")) == [
        "small pretrain",
        "tuned finetune",
    ]
    pace_lock.resolve(here)
    assert load_ablation(here, "equal").variants["tuned"].experiment.settings.finetune.max_steps


# The command


def test_the_command_measures_checks_and_renews(
    here: Path, timed: dict[int, float], variorum: Command
) -> None:
    missing = variorum("lock", "--locked")
    assert missing.code == 1
    assert "config/paces.lock has no pace of equal/wide; run `variorum lock`" in missing.err

    for name in ("arxiv", "lyrics"):  # these would ask a network
        (here / f"config/experiments/{name}.yaml").unlink(missing_ok=True)
    assert "3 paces locked, 3 of them new" in variorum("lock").out
    assert "3 paces locked, 0 of them new" in variorum("lock", "--locked").out
    before = keys(here)

    timed[32] = 0.015
    said = variorum("lock", "--accept", "equal")
    assert "equal/wide\n  was 0.03 s a step\n  is  0.015 s a step" in said.out
    assert "config/paces.lock changed: commit it." in said.out
    after = keys(here)
    assert {name for name in before if before[name] != after[name]} == {"wide"}


def test_an_ablation_without_such_a_budget_has_nothing_to_renew(here: Path) -> None:
    asked(here, budget="tokens")
    assert pace_lock.resolve(here) == []
    with pytest.raises(VariorumError, match=r"^equal: no `budget: time`, so it needs no paces"):
        pace_lock.accept(here, "equal")


# Timing


def micro(**model: Any) -> Steps:
    settings = ModelSettings(n_layer=1, n_head=2, n_embd=16, context_length=16, **model)
    return Steps(settings, None, TrainingSettings(batch_size=4, max_steps=30, warmup_steps=0))


def test_steps_are_timed_side_by_side_with_the_processes_of_a_training() -> None:
    processes = min(2, len(os.sched_getaffinity(0)))
    large = Steps(
        ModelSettings(n_layer=4, n_head=4, n_embd=128, context_length=64),
        300,
        TrainingSettings(optimizer="muon", batches="permutation"),
    )
    of_two_texts = FinetuneSettings(batch_size=4, warmup_steps=0, replay=0.5, patience=1)
    dropping = Steps(micro(dropout=0.1).model, 300, of_two_texts)
    asked = [micro(), large, dropping]
    small, slow, tuned = pace.measure(asked, seconds=0.4, rounds=2, processes=processes)
    assert 0 < small.seconds < slow.seconds
    assert small.steps > slow.steps >= 2
    assert small.spread >= 0
    assert 0 < tuned.seconds < slow.seconds


def test_a_project_that_is_new_is_paced_for_real(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace_lock, "SECONDS", 0.1)
    monkeypatch.setattr(pace_lock, "ROUNDS", 1)
    assert pace_lock.resolve(here) == ["equal/small", "equal/wide", "equal/deep"]
    assert all(0 < entry.seconds < 10 for entry in paces.entries(here).values())
    assert all(count >= 1 for count in steps(here).values())
