"""Means, spreads, intervals and paired differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from variorum.report.statistics import detectable, estimate, paired_difference, simultaneous

values = st.lists(st.floats(-100, 100), min_size=2, max_size=12)


@given(values)
def test_interval_is_scipys_t_interval(sample):
    found = estimate(sample)
    error = stats.sem(sample)
    assert found.mean == pytest.approx(np.mean(sample), abs=1e-9)
    assert found.sd == pytest.approx(np.std(sample, ddof=1), abs=1e-9)
    if error > 1e-6:
        low, high = stats.t.interval(0.95, len(sample) - 1, np.mean(sample), error)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_interval_covers_the_true_mean_19_times_in_20():
    rng = np.random.default_rng(0)
    found = [estimate(list(rng.normal(3.0, 1.0, 5))) for _ in range(2000)]
    covered = np.mean([each.low <= 3.0 <= each.high for each in found])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_one_value_has_no_interval_and_shows_nothing():
    found = estimate([1.5])
    assert (found.n, found.mean, found.sd, found.low, found.high) == (1, 1.5, None, None, None)
    assert not found.shows_difference


@pytest.mark.parametrize("sample", [[], [1.0, float("nan")], [float("inf")]])
def test_nothing_and_not_finite_are_refused(sample):
    with pytest.raises(ValueError, match="finite"):
        estimate(sample)


def test_pairing_by_seed_takes_out_what_seeds_share():
    luck = {seed: 10.0 * seed for seed in range(1, 6)}
    better = {seed: value - 1 + 0.01 * seed for seed, value in luck.items()}
    difference = paired_difference(better, luck)
    assert difference.mean == pytest.approx(-0.97)
    assert difference.shows_difference
    assert difference.high - difference.low < 0.1


def test_only_seeds_in_common_are_paired():
    difference = paired_difference({1: 2.0, 2: 3.0, 9: 100.0}, {2: 2.0, 1: 1.0, 7: -5.0})
    assert (difference.n, difference.mean) == (2, 1.0)
    assert paired_difference({1: 2.0}, {2: 2.0}) is None


def test_interval_that_includes_zero_shows_no_difference():
    assert not estimate([-1.0, 1.0, 0.5]).shows_difference
    assert not estimate([0.0, 0.0, 0.0]).shows_difference
    assert estimate([0.2, 0.21, 0.19]).shows_difference


@pytest.mark.parametrize(("seeds", "comparisons"), [(3, 1), (5, 1), (5, 4), (10, 2)])
def test_the_detectable_difference_is_found_four_times_in_five(seeds, comparisons):
    confidence = simultaneous(comparisons)
    sample = estimate(list(np.linspace(-1, 1, seeds)))
    needed = detectable(sample, confidence)
    draws = np.random.default_rng(1).normal(needed, sample.sd, (4000, seeds))
    shown = [estimate(list(row), confidence).shows_difference for row in draws]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.025)


def test_without_a_spread_nothing_can_be_said_of_power():
    assert detectable(estimate([1.0])) is None
    assert detectable(estimate([2.0, 2.0, 2.0])) is None


def test_two_seeds_show_only_what_is_huge():
    two, five = (estimate(list(np.linspace(-1, 1, n))) for n in (2, 5))
    assert detectable(two) / two.sd > 5 * detectable(five) / five.sd
