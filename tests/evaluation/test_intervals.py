"""Intervals of bits per byte hold the truth as often as they say, also where neighbours agree."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from variorum.evaluation.intervals import CONFIDENCE, of_parts, standard_error
from variorum.evaluation.parts import BLOCKS

TEXTS = 4000
UNEVEN = {"even": 0.0, "uneven": 0.8, "very uneven": 1.3}
"""By name, the spread of the logarithm of groups' sizes."""


def draws(count: int, uneven: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bits and bytes of groups (TEXTS, G), each with a level of its own around 1.5."""
    draw = np.random.Generator(np.random.Philox(seed))
    n_bytes = np.round(1000 * np.exp(uneven * draw.normal(size=(TEXTS, count)))) + 1
    return n_bytes * (1.5 + 0.15 * draw.normal(size=(TEXTS, count))), n_bytes


@pytest.mark.parametrize("name", UNEVEN)
@pytest.mark.parametrize("count", [10, 20, 40])
def test_of_groups_they_cover_the_truth_as_often_as_they_say(count: int, name: str) -> None:
    """Within 94 to 96 %, for as many texts three deviations wider; ten groups may have 93."""
    bits, n_bytes = draws(count, UNEVEN[name], seed=count)
    effective = n_bytes.sum(-1) ** 2 / np.square(n_bytes).sum(-1)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, effective - 1) * standard_error(bits, n_bytes)
    share = np.mean(np.abs(bits.sum(-1) / n_bytes.sum(-1) - 1.5) <= reach)
    noise = 3 * math.sqrt(0.05 * 0.95 / TEXTS)
    assert (0.93 if count == 10 else 0.94) - noise < share
    assert share < 0.96 + noise or (count == 10 and share < 0.98)


def test_a_text_is_one_of_those_that_were_simulated() -> None:
    bits, n_bytes = draws(20, 0.8, seed=3)
    for place in range(50):
        found = of_parts(bits[place], n_bytes[place], "groups")
        assert found is not None
        assert found.low < found.value < found.high
        effective = n_bytes[place].sum() ** 2 / np.square(n_bytes[place]).sum()
        assert found.effective == pytest.approx(effective)
        assert (found.high - found.low) / 2 == pytest.approx(
            stats.t.ppf(0.975, effective - 1) * standard_error(bits[place], n_bytes[place])
        )


def test_the_error_is_what_leaving_out_each_group_shows() -> None:
    bits, n_bytes = (each[0, :7] for each in draws(10, 0.8, seed=5))
    ratios = [np.delete(bits, place).sum() / np.delete(n_bytes, place).sum() for place in range(7)]
    spread = sum((each - sum(ratios) / 7) ** 2 for each in ratios)
    assert standard_error(bits, n_bytes) == pytest.approx(math.sqrt(6 / 7 * spread))


def test_pairs_tell_apart_what_intervals_of_each_would_not() -> None:
    bits, n_bytes = (each[0] for each in draws(20, 0.8, seed=9))
    better = bits - 0.02 * n_bytes * (1 + 0.1 * np.sin(np.arange(20)))
    alone = [of_parts(each, n_bytes, "groups") for each in (bits, better)]
    pair = of_parts(better - bits, n_bytes, "groups")
    assert alone[0] is not None
    assert alone[1] is not None
    assert pair is not None
    assert alone[1].high > alone[0].low, "each by itself they overlap"
    assert pair.high < 0
    same = of_parts(bits - bits, n_bytes, "groups")
    assert same is not None
    assert (same.low, same.high) == (0, 0)


def test_one_part_tells_nothing_of_others() -> None:
    assert of_parts(np.array([5.0]), np.array([3]), "blocks") is None
    assert of_parts(np.array([5.0, 1.0]), np.array([3, 0]), "groups") is None


def test_more_confidence_takes_a_wider_interval() -> None:
    bits, n_bytes = (each[0] for each in draws(20, 0.8, seed=2))
    usual, wide = (of_parts(bits, n_bytes, "groups", each) for each in (CONFIDENCE, 0.99))
    assert usual is not None
    assert wide is not None
    assert wide.low < usual.low < usual.value == wide.value < usual.high < wide.high
    assert wide.confidence == 0.99


# Blocks of one text


def covered(stickiness: float, texts: int, n_blocks: int) -> float:
    """Share of intervals that hold the true mean of a text whose neighbours cost alike."""
    hits = 0
    for seed in range(texts):
        noise = np.random.Generator(np.random.Philox(seed)).normal(size=8000)
        noise[0] /= math.sqrt(1 - stickiness**2)
        bits = 5 + lfilter([1], [1, -stickiness], noise)
        sums = bits.reshape(n_blocks, -1).sum(-1)
        found = of_parts(sums, np.full(n_blocks, 8000 // n_blocks), "blocks")
        assert found is not None
        hits += found.low <= 5 <= found.high
    return hits / texts


@pytest.mark.parametrize("stickiness", [0.0, 0.8])
def test_blocks_hold_the_truth_as_often_as_they_say(stickiness: float) -> None:
    """Where neighbours cost alike over far less than a block."""
    assert 0.93 < covered(stickiness, 2000, BLOCKS) < 0.97


def test_blocks_shorter_than_what_costs_alike_promise_too_much() -> None:
    assert covered(0.99, 1000, 2000) < 0.5
    assert covered(0.99, 1000, BLOCKS) > covered(0.99, 1000, 2000) + 0.3
