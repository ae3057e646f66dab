"""Budgets of time: step times are measured once, locked, and decide steps from then on."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from conftest import Command, add_micro_experiment, copy_project
from variorum.base.errors import VariorumError
from variorum.base.machine import processor
from variorum.config.setting_errors import ConfigError
from variorum.plan import step_times, timing
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import LoadedAblation, load_ablation
from variorum.plan.step_times import FILE, LOCK, StepTime, steps_to_time, with_equal_time
from variorum.plan.timing import Steps, Timing
from variorum.snakemake import Flow

VARIANTS: dict[str, Any] = {
    "small": {},
    "wide": {"model": {"n_embd": 32}},
    "deep": {"model": {"n_layer": 3}},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The micro experiment and an ablation of it with equal time."""
    root = tmp_path_factory.mktemp("step_times") / "project"
    add_micro_experiment(copy_project(root))
    return root


@pytest.fixture
def here(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That project, without step times."""
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
    """Lock the step times of these variants."""
    known = {
        entry(root, "equal", name): StepTime(value, f"equal/{name}", "a processor")
        for name, value in seconds.items()
    }
    (root / LOCK).write_text(FILE.text(known), encoding="utf-8")


def to_time(root: Path, name: str = "equal") -> list[str]:
    """The variants whose steps are timed."""
    return list(steps_to_time(load_ablation(root, name), root))


def entry(root: Path, name: str, variant: str) -> str:
    """What the lock calls a step time."""
    return step_times._entry(name, steps_to_time(load_ablation(root, name), root)[variant])


def with_steps(root: Path, name: str = "equal") -> LoadedAblation:
    """An ablation with the steps that follow from the lock."""
    return with_equal_time(load_ablation(root, name), root, offline=True)


def steps(root: Path) -> dict[str, int]:
    """The steps of each variant."""
    found = with_steps(root).variants
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

    def measure(asked: Sequence[Steps], **how: Any) -> list[Timing]:
        sizes = [each.model.n_embd * each.model.n_layer for each in asked]
        return [Timing(seconds[size], 0.04, 100) for size in sizes]

    monkeypatch.setattr(timing, "measure", measure)
    return seconds


def test_an_ablation_is_loaded_without_the_lock(here: Path) -> None:
    found = load_ablation(here, "equal").variants.values()
    assert {each.experiment.settings.pretrain.max_steps for each in found} == {30}


# The file


@pytest.mark.parametrize(
    "content", ["- a", "a: b", "a: {seconds: 1.0}", "a: {seconds: -1.0, variant: b}", "{", "a: 1"]
)
def test_a_damaged_lock_is_one_line_with_its_remedy(here: Path, content: str) -> None:
    (here / LOCK).write_text(content)
    with pytest.raises(VariorumError, match=r"^config/step_times\.lock.* restore it with") as error:
        with_steps(here)
    assert "\n" not in str(error.value)


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


def test_a_changed_step_time_changes_the_steps_and_keys_of_that_variant_alone(here: Path) -> None:
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


def test_only_how_step_times_compare_counts(here: Path) -> None:
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
        for name, variant in with_steps(here).variants.items()
    }
    assert tried == {"small": [30, 30, 15, 10], "wide": [10, 10, 6, 3]}


def test_a_rate_that_is_tuned_leaves_the_step_time_as_it_is(here: Path) -> None:
    lock(here, small=0.01, wide=0.03, deep=0.025)
    asked(here, tune={"pretrain.learning_rate": [0.001, 0.01, 0.1]})
    for variant in with_steps(here).variants.values():
        tried = {each.settings.pretrain.max_steps for _, _, each in variant.runs}
        assert tried == {variant.experiment.settings.pretrain.max_steps}


def test_a_budget_that_ends_within_the_warm_up_is_told_with_its_variant(here: Path) -> None:
    file = here / "config/experiments/micro.yaml"
    file.write_text(file.read_text().replace("warmup_steps: 0", "warmup_steps: 5"))
    lock(here, small=0.01, wide=0.1, deep=0.025)
    with pytest.raises(ConfigError) as error:
        with_steps(here)
    file.write_text(file.read_text().replace("warmup_steps: 5", "warmup_steps: 0"))
    line = str(error.value)
    assert line.startswith(
        "config/ablations/equal.yaml:16: budget: with the steps that variant wide gets, "
    )
    assert "warmup_steps: 5 leaves nothing of max_steps = 3" in line
    assert "\n" not in line


# Measuring


def test_a_missing_step_time_is_no_reason_to_measure_for_who_only_looks(here: Path) -> None:
    with pytest.raises(ConfigError) as error:
        plan_ablation(load_ablation(here, "equal"), here, offline=True)
    assert str(error.value) == (
        "config/ablations/equal.yaml:16: budget: unlocked: config/step_times.lock has no step "
        "time of small; run `variorum lock`, and commit the file"
    )
    with pytest.raises(SystemExit):
        Flow(here, {}, dry_run=True).table(type("wildcards", (), {"ablation": "equal"}))
    assert not (here / LOCK).exists()


def test_a_missing_step_time_is_measured_at_planning_announced_and_then_read(
    here: Path,
    timed: dict[int, float],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = Flow(here, {}, dry_run=False).ablation("equal")
    said = capsys.readouterr()
    assert "equal: measures how long steps of small, wide, deep take" in said.err
    assert "config/step_times.lock: equal/wide = 0.03 s a step; commit it" in said.err
    assert said.out == ""
    assert steps(here) == {"small": 30, "wide": 10, "deep": 12}

    timed.clear()  # now nothing can be measured
    monkeypatch.setenv("VARIORUM_LOCKED", "1")
    assert Flow(here, {}, dry_run=False).ablation("equal").last.ref == plan.last.ref
    assert capsys.readouterr().err == ""


def test_locked_a_missing_step_time_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VARIORUM_LOCKED", "1")
    refused = (
        "^unlocked: config/step_times.lock has no step time of equal/small, equal/wide, "
        "equal/deep, and VARIORUM_LOCKED forbids to measure it; where it is not set, run "
        "`variorum lock`"
    )
    with pytest.raises(VariorumError, match=refused):
        Flow(here, {}, dry_run=False).ablation("equal")
    assert not (here / LOCK).exists()


def test_a_variant_that_comes_later_is_compared_with_what_is_locked(
    here: Path, timed: dict[int, float]
) -> None:
    lock(here, small=0.01, wide=0.03)
    locked = FILE.read(here)
    for size in timed:
        timed[size] *= 5  # a slower machine, or a busier day
    assert step_times.resolve(here) == ["equal/deep"]
    known = FILE.read(here)
    assert {digest: known[digest] for digest in locked} == locked
    assert known[entry(here, "equal", "deep")].seconds == pytest.approx(0.025)


def test_step_times_of_two_days_are_never_compared(here: Path, timed: dict[int, float]) -> None:
    """One ablation needs the step times that two others have, each from a day of its own."""
    small, wide, deep = ({name: VARIANTS[name]} for name in VARIANTS)
    asked(here, variants=small | wide)
    step_times.resolve(here)
    for size in timed:
        timed[size] *= 10
    write(here, "second", variants=deep | {"narrow": {"model": {"n_embd": 8}}}, baseline="deep")
    timed[8] = 0.05
    step_times.resolve(here)
    first = FILE.read(here)

    write(here, "third", variants=small | deep)
    assert step_times.resolve(here) == ["third/small", "third/deep"]
    found = with_steps(here, "third").variants["deep"].experiment.settings
    assert found.pretrain.max_steps == 12

    before = steps(here)
    step_times.accept(here, "third")
    assert steps(here) == before
    assert {name: entry for name, entry in FILE.read(here).items() if name in first} == first


@pytest.mark.parametrize("how", ["accepted", "none was left"])
def test_a_variant_that_comes_back_is_measured_again(
    here: Path, timed: dict[int, float], how: str
) -> None:
    """Its entry would be of another day than those that were measured without it."""
    step_times.resolve(here)
    for size in timed:
        timed[size] *= 10
    narrow, deep = {"model": {"n_embd": 8}}, VARIANTS["deep"]
    timed[8] = 0.05
    if how == "accepted":
        asked(here, variants={"small": {}, "deep": deep})
        step_times.accept(here, "equal")
    else:
        lone = {"model": {"n_embd": 8, "n_layer": 2}}
        timed[8 * 2] = 0.1
        asked(here, variants={"narrow": narrow, "lone": lone}, baseline="narrow")
        step_times.resolve(here)
    asked(here)
    assert "equal/wide" in step_times.resolve(here)
    assert steps(here) == {"small": 30, "wide": 10, "deep": 12}


def test_a_tuned_value_has_a_step_time_of_its_own_where_it_matters(here: Path) -> None:
    asked(here, tune={"pretrain.learning_rate": [0.001, 0.01, 0.1]})
    assert to_time(here) == ["small", "wide", "deep"]
    asked(here, tune={"pretrain.batch_size": [4, 8, 16]}, variants={"small": {}, "same": {}})
    assert to_time(here) == ["small", "small@8", "small@16"]


def test_what_cannot_be_tuned_is_refused_before_its_steps_are_measured(here: Path) -> None:
    asked(here, tune={"pretrain.val_tokens": [64, 128, 256]})
    with pytest.raises(ConfigError, match="is chosen by the validation loss"):
        to_time(here)


def test_an_entry_tells_where_it_was_measured(here: Path, timed: dict[int, float]) -> None:
    step_times.resolve(here)
    assert {(e.processor, e.device) for e in FILE.read(here).values()} == {(processor(), "cpu")}


def test_trainings_of_two_stages_have_step_times_of_their_own(
    here: Path, timed: dict[int, float]
) -> None:
    tuned = {"last_stage": "finetune", "finetune": {"batch_size": 8}}
    asked(here, variants={"small": {}, "tuned": tuned})
    assert to_time(here) == [
        "small pretrain",
        "tuned finetune",
    ]
    step_times.resolve(here)
    assert with_steps(here).variants["tuned"].experiment.settings.finetune.max_steps


# The command


def test_the_command_measures_checks_and_renews(
    here: Path, timed: dict[int, float], variorum: Command
) -> None:
    missing = variorum("lock", "--locked")
    assert missing.code == 1
    assert (
        "config/step_times.lock has no step time of equal/wide; run `variorum lock`" in missing.err
    )

    for name in ("arxiv", "lyrics"):  # these would ask a network
        (here / f"config/experiments/{name}.yaml").unlink(missing_ok=True)
    assert "3 step times locked, 3 of them new" in variorum("lock").out
    assert "3 step times locked, 0 of them new" in variorum("lock", "--locked").out
    before = keys(here)

    timed[32] = 0.015
    said = variorum("lock", "--accept", "equal")
    assert "equal/wide\n  was 0.03 s a step\n  is  0.015 s a step" in said.out
    assert "config/step_times.lock changed: commit it." in said.out
    after = keys(here)
    assert {name for name in before if before[name] != after[name]} == {"wide"}


def test_an_ablation_without_such_a_budget_has_nothing_to_renew(here: Path) -> None:
    asked(here, budget="tokens")
    assert step_times.resolve(here) == []
    with pytest.raises(
        VariorumError, match=r"^equal: no `budget: time`, so it needs no step times"
    ):
        step_times.accept(here, "equal")


def test_a_project_that_is_new_is_timed_for_real(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_times, "SECONDS", 0.1)
    monkeypatch.setattr(step_times, "ROUNDS", 1)
    assert step_times.resolve(here) == ["equal/small", "equal/wide", "equal/deep"]
    assert all(0 < entry.seconds < 10 for entry in FILE.read(here).values())
    assert all(count >= 1 for count in steps(here).values())
