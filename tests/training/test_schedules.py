"""The rate rises in a line, and falls as its schedule says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles import nanogpt
from variorum.base import components
from variorum.config.training_settings import TrainingSettings

HIGH, LOW = 1e-2, 1e-3
SETTINGS = TrainingSettings(
    learning_rate=HIGH, min_learning_rate=LOW, warmup_steps=10, max_steps=110, decay_share=0.2
)

every_schedule = pytest.mark.parametrize("name", components.options("training/schedules"))


def rate(name: str, step: int, **changes: object) -> float:
    settings = SETTINGS.model_copy(update=changes)
    found: float = components.load("training/schedules", name).rate(step, settings)
    return found


@every_schedule
def test_it_rises_through_warmup_and_never_starts_at_zero(name: str) -> None:
    rates = [rate(name, step) for step in range(1, 11)]
    assert rates == sorted(rates)
    assert 0 < rates[0] < 2e-3


@every_schedule
def test_it_never_rises_after_warmup_and_stays_between_its_ends(name: str) -> None:
    rates = [rate(name, step) for step in range(10, 111)]
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert all(LOW <= each <= HIGH for each in rates)


@every_schedule
def test_without_warmup_it_begins_at_the_top(name: str) -> None:
    assert rate(name, 1, warmup_steps=0) == HIGH


@pytest.mark.parametrize(
    ("name", "middle", "end"),
    [
        ("cosine", (HIGH + LOW) / 2, LOW),
        ("linear", (HIGH + LOW) / 2, LOW),
        ("stable_decay", HIGH, LOW),
        ("constant", HIGH, HIGH),
    ],
)
def test_it_is_where_it_should_be_in_the_middle_and_behind_the_end(
    name: str, middle: float, end: float
) -> None:
    assert rate(name, 61) == pytest.approx(middle)
    assert rate(name, 111) == pytest.approx(end)


def test_the_plateau_ends_where_the_decay_share_begins() -> None:
    assert rate("stable_decay", 89) == HIGH
    assert rate("stable_decay", 90) < HIGH
    assert rate("stable_decay", 100) == pytest.approx((HIGH + LOW) / 2)
    assert rate("stable_decay", 12, decay_share=1.0) < HIGH  # never before the warmup is over


@st.composite
def schedules(draw: st.DrawFn) -> TrainingSettings:
    """Return settings of any schedule, its edges more often than chance has them."""
    max_steps = draw(st.integers(1, 40) | st.integers(1, 10_000))
    high = draw(st.floats(1e-30, 1))
    return TrainingSettings(
        learning_rate=high,
        min_learning_rate=high * draw(st.sampled_from([0.0, 1.0]) | st.floats(0, 1)),
        warmup_steps=draw(st.sampled_from([0, max_steps - 1]) | st.integers(0, max_steps - 1)),
        max_steps=max_steps,
        decay_share=draw(st.sampled_from([1.0, 1e-17, 5e-324]) | st.floats(1e-17, 1)),
    )


@every_schedule
@given(settings=schedules())
def test_any_settings_reach_the_top_and_every_step_moves(
    name: str, settings: TrainingSettings
) -> None:
    find = components.load("training/schedules", name).rate
    steps = {1, settings.warmup_steps, settings.warmup_steps + 1, settings.max_steps}
    steps |= set(range(settings.max_steps - 9, settings.max_steps))
    rates = {step: find(step, settings) for step in sorted(steps) if step >= 1}
    assert all(0 < each <= settings.learning_rate for each in rates.values())
    assert rates[settings.warmup_steps + 1] == settings.learning_rate
    fallen = [each for step, each in rates.items() if step > settings.warmup_steps]
    assert fallen == sorted(fallen, reverse=True)


@given(settings=schedules())
def test_cosine_is_nanogpts_at_every_step(settings: TrainingSettings) -> None:
    chosen = {
        "learning_rate": settings.learning_rate,
        "min_lr": settings.min_learning_rate,
        "warmup_iters": settings.warmup_steps,
        "lr_decay_iters": settings.max_steps,
    }
    for step in {1, settings.warmup_steps + 1, settings.max_steps // 2 + 1, settings.max_steps}:
        found = components.load("training/schedules", "cosine").rate(step, settings)
        theirs = nanogpt.get_lr(step - 1, **chosen)
        assert found == pytest.approx(theirs, rel=1e-9, abs=1e-9 * settings.learning_rate)
