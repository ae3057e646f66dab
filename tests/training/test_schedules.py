"""The rate rises in a line, and falls as its schedule says."""

import pytest

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
def test_without_warmup_it_begins_near_the_top(name: str) -> None:
    assert rate(name, 1, warmup_steps=0) == pytest.approx(HIGH, rel=0.01)


@pytest.mark.parametrize(
    ("name", "middle", "end"),
    [
        ("cosine", (HIGH + LOW) / 2, LOW),
        ("linear", (HIGH + LOW) / 2, LOW),
        ("stable_decay", HIGH, LOW),
        ("constant", HIGH, HIGH),
    ],
)
def test_it_is_where_it_should_be_in_the_middle_and_at_the_end(
    name: str, middle: float, end: float
) -> None:
    assert rate(name, 60) == pytest.approx(middle)
    assert rate(name, 110) == pytest.approx(end)


def test_the_plateau_ends_where_the_decay_share_begins() -> None:
    assert rate("stable_decay", 88) == HIGH
    assert rate("stable_decay", 89) < HIGH
    assert rate("stable_decay", 99) == pytest.approx((HIGH + LOW) / 2)
    assert rate("stable_decay", 11, decay_share=1.0) < HIGH  # never before the warmup is over
