"""Intervals of means over independent units, and how texts are divided into units."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from variorum.evaluation.stress.behaviour.estimates import (
    STRETCHES,
    difference_of,
    halves_by,
    mean_of,
    means_by,
    ratio_of,
    spread,
    units_of,
)

LABELS = st.lists(st.integers(0, 30), max_size=120).map(np.array)


def test_a_mean_has_student_s_interval():
    values = np.random.default_rng(1).normal(size=13)
    found = mean_of(values)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(values.mean())
    assert found.units == 13


def test_a_difference_has_welch_s_interval():
    chance = np.random.default_rng(1)
    one, other = chance.normal(1, 3, size=24), chance.normal(0, 0.5, size=11)
    found = difference_of(one, other)
    expected = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.units == 11


@pytest.mark.parametrize("values", [[], [1.0], [1.0, np.nan], [np.inf, 0.0]])
def test_nothing_is_said_of_one_unit_or_of_values_that_are_not_finite(values):
    few, many = np.array(values), np.arange(5.0)
    assert mean_of(few) is None
    assert difference_of(few, many) is None
    assert difference_of(many, few) is None
    assert ratio_of(few, few) is None


def test_without_any_scatter_the_interval_is_a_point():
    assert mean_of(np.full(4, 2.0)).low == mean_of(np.full(4, 2.0)).high == 2.0
    found = difference_of(np.full(4, 2.0), np.full(3, 2.0))
    assert (found.low, found.high) == (0.0, 0.0)


def test_a_ratio_with_nothing_below_it_is_none():
    chance = np.random.default_rng(1)
    assert ratio_of(chance.normal(size=20), chance.normal(size=20)) is None
    assert ratio_of(chance.normal(size=20), -np.ones(20)) is None


@pytest.mark.parametrize("units", [10, 20, 40])
def test_intervals_cover_as_often_as_they_say(units):
    """Units whose scatter differs, as that of short and long groups does."""
    chance = np.random.default_rng(units)
    repeats, covered = 2000, {"mean": 0, "difference": 0, "ratio": 0}
    scatter = np.geomspace(0.5, 2.0, units)
    for _ in range(repeats):
        values = 1 + chance.normal(size=units) * scatter
        others = chance.normal(size=24) * 0.3
        below = 3 + 0.4 * values + chance.normal(size=units) * 0.3
        found = {
            "mean": (mean_of(values), 1.0),
            "difference": (difference_of(values, others), 1.0),
            "ratio": (ratio_of(values, below), 1 / 3.4),
        }
        for name, (each, truth) in found.items():
            covered[name] += each.low <= truth <= each.high
    for name, times in covered.items():
        assert 0.93 <= times / repeats <= 0.97, name


@pytest.mark.parametrize("units", [16, 24])
def test_equal_models_differ_significantly_in_one_case_of_twenty(units):
    chance = np.random.default_rng(units)
    found = [
        difference_of(chance.beta(3, 5, size=units), chance.beta(3, 5, size=15))
        for _ in range(2000)
    ]
    assert 0.03 <= np.mean([each.low > 0 or each.high < 0 for each in found]) <= 0.07


@given(LABELS)
def test_units_are_groups_or_stretches_of_neighbours(labels):
    units = units_of(labels)
    assert len(units) == len(labels)
    if len(np.unique(labels)) >= 10:
        pairs = set(zip(units.tolist(), labels.tolist(), strict=True))
        assert len(pairs) == len(np.unique(units)) == len(np.unique(labels))
    else:
        assert (np.diff(units) >= 0).all()
        assert len(np.unique(units)) == min(len(labels), STRETCHES)


@given(LABELS, st.integers(1, 40))
def test_pieces_are_chosen_evenly_over_units(labels, most):
    chosen = spread(labels, most)
    assert len(chosen) == min(most, len(labels))
    assert (np.diff(chosen) > 0).all()
    counts = {unit: int((labels == unit).sum()) for unit in labels}
    taken = {unit: int((labels[chosen] == unit).sum()) for unit in labels}
    for unit, own in taken.items():
        if own < counts[unit]:
            assert own >= max(taken.values()) - 1


def test_the_units_of_a_choice_come_from_all_over():
    chosen = spread(np.repeat(np.arange(100), 3), 10)
    assert chosen[0] == 0
    assert chosen[-1] == 297
    assert (np.diff(chosen) == 33).all()


def test_long_units_count_as_much_as_short_ones():
    units, values = np.array([0, 0, 0, 1]), np.array([1.0, 2.0, 3.0, 10.0])
    assert means_by(units, values).tolist() == [2.0, 10.0]


def test_halves_of_a_unit_take_turns_and_one_value_has_none():
    units, values = np.array([0, 1, 0, 1, 0, 2]), np.array([1.0, 5.0, 2.0, 7.0, 4.0, 9.0])
    assert halves_by(units, values).tolist() == [2.5 - 2.0, 5.0 - 7.0]
