"""The rate rises in a line and falls along half a cosine."""

import pytest

from variorum.config import TrainingSettings
from variorum.training.schedules.cosine import rate

SETTINGS = TrainingSettings(
    learning_rate=1e-2, min_learning_rate=1e-3, warmup_steps=10, max_steps=110
)


def test_it_rises_through_warmup_and_never_starts_at_zero() -> None:
    rates = [rate(step, SETTINGS) for step in range(1, 12)]
    assert rates == sorted(rates)
    assert 0 < rates[0] < 2e-3


def test_it_is_halfway_down_in_the_middle_and_lowest_at_the_end() -> None:
    assert rate(60, SETTINGS) == pytest.approx((1e-2 + 1e-3) / 2)
    assert rate(110, SETTINGS) == pytest.approx(1e-3)


def test_without_warmup_it_begins_near_the_top() -> None:
    settings = SETTINGS.model_copy(update={"warmup_steps": 0})
    assert rate(1, settings) == pytest.approx(1e-2, rel=1e-3)
