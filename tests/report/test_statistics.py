"""Means, spreads, intervals and paired differences; intervals that hold at any look."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from oracles.anytime import evidence
from variorum.report.claims import Verdict, verdict
from variorum.report.statistics import (
    PRIOR_PRECISION,
    REACHES,
    estimate,
    paired_difference,
    simultaneous,
)

values = st.lists(st.floats(-100, 100), min_size=2, max_size=12)


def shown(found):
    return verdict(found.low, found.high) in (Verdict.FEWER, Verdict.MORE)


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


@pytest.mark.parametrize("looks", REACHES)
def test_one_value_has_no_interval_and_shows_nothing(looks):
    found = estimate([1.5], looks=looks)
    assert (found.n, found.mean, found.sd, found.low, found.high) == (1, 1.5, None, None, None)
    assert verdict(found.low, found.high) is Verdict.UNTOLD


@pytest.mark.parametrize("sample", [[], [1.0, float("nan")], [float("inf")]])
def test_nothing_and_not_finite_are_refused(sample):
    with pytest.raises(ValueError, match="finite"):
        estimate(sample)


def test_pairing_by_seed_takes_out_what_seeds_share():
    luck = {seed: 10.0 * seed for seed in range(1, 6)}
    better = {seed: value - 1 + 0.01 * seed for seed, value in luck.items()}
    difference = paired_difference(better, luck)
    assert difference.mean == pytest.approx(-0.97)
    assert shown(difference)
    assert difference.high - difference.low < 0.1


def test_only_seeds_in_common_are_paired():
    difference = paired_difference({1: 2.0, 2: 3.0, 9: 100.0}, {2: 2.0, 1: 1.0, 7: -5.0})
    assert (difference.n, difference.mean) == (2, 1.0)
    assert paired_difference({1: 2.0}, {2: 2.0}) is None


def test_interval_that_includes_zero_shows_no_difference():
    assert not shown(estimate([-1.0, 1.0, 0.5]))
    assert not shown(estimate([0.0, 0.0, 0.0]))
    assert shown(estimate([0.2, 0.21, 0.19]))


# Looks


@pytest.mark.parametrize("n", [3, 5, 12])
@pytest.mark.parametrize("confidence", [0.95, 0.9])
def test_at_the_ends_of_an_interval_for_any_look_the_evidence_is_exactly_enough(n, confidence):
    sample = list(np.random.default_rng(n).normal(0.3, 1.0, n))
    found = estimate(sample, confidence, "any")
    for end in (found.low, found.high):
        against = evidence(sample, end, PRIOR_PRECISION)
        assert against * (1 - confidence) == pytest.approx(1, rel=1e-6)
    inside = evidence(sample, found.mean, PRIOR_PRECISION)
    assert inside < 1 < 1 / (1 - confidence)


def test_where_no_mean_has_evidence_enough_against_it_there_is_no_interval():
    few = [1.0, 1.1]
    assert estimate(few, looks="any").low is estimate(few, looks="any").high is None
    limit = evidence(few, 1e6, PRIOR_PRECISION)
    assert limit < 1 / 0.05


def ever_wrong(looks, most, first=2, comparisons=1, n=20_000):
    """How often some interval of differences that are 0 excludes 0, looked at after each seed.

    All differences of one run are to one baseline.
    """
    count = np.arange(1, most + 1)
    wrong = np.zeros(n, dtype=bool)
    draw = np.random.default_rng(0)
    baseline = draw.normal(size=(n, most)) if comparisons > 1 else 0
    reach = [REACHES[looks](int(k), simultaneous(comparisons)) for k in count[first - 1 :]]
    half = np.array([np.inf if each is None else each for each in reach])  # (looks,)
    for _ in range(comparisons):
        x = draw.normal(size=(n, most)) - baseline
        mean = x.cumsum(axis=1) / count
        squares = (x**2).cumsum(axis=1) - count * mean**2
        sd = np.sqrt(squares[:, first - 1 :] / (count[first - 1 :] - 1))
        wrong |= (np.abs(mean[:, first - 1 :]) > half * sd).any(axis=1)
    return wrong.mean()


def test_repeated_looks_deceive_students_t_and_not_the_interval_for_any_look(record_property):
    assert ever_wrong("once", 5, first=5) == pytest.approx(0.05, abs=0.005)
    deceived = {most: float(ever_wrong("once", most)) for most in (10, 50)}
    held = {most: float(ever_wrong("any", most)) for most in (10, 50)}
    record_property("t is ever wrong by 10 and by 50 seeds", str(deceived))
    record_property("the interval for any look is ever wrong", str(held))
    assert deceived[10] > 0.18
    assert deceived[50] > 0.3
    assert ever_wrong("once", 10, first=5) > 0.1
    assert max(held.values()) <= 0.05


def test_several_differences_hold_together_at_any_look():
    assert ever_wrong("any", 30, comparisons=4) <= 0.05
    assert ever_wrong("once", 30, comparisons=4) > 0.15


@given(values)
def test_the_interval_for_any_look_is_the_wider_one_around_the_same_mean(sample):
    once, often = estimate(sample), estimate(sample, looks="any")
    assert (often.n, often.mean, often.sd) == (once.n, once.mean, once.sd)
    if often.low is not None:
        assert often.low <= once.low <= once.high <= often.high
