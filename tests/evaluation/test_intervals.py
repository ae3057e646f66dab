"""Intervals of bits per byte hold the truth as often as they say, also where neighbours agree."""

import math

import numpy as np
import pytest
from scipy import stats

from variorum.evaluation.intervals import CONFIDENCE, of_parts, of_tokens, standard_error

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


# Blocks of one text


def covered(stickiness: float, texts: int) -> float:
    """Share of intervals that hold the true mean of a text whose neighbours cost alike."""
    hits, n_bytes, groups = 0, np.full(8000, 4), np.zeros(8000, dtype=np.int64)
    for seed in range(texts):
        draw = np.random.Generator(np.random.Philox(seed))
        noise = draw.normal(size=8000)
        nats = np.empty(8000)
        level = noise[0] / math.sqrt(1 - stickiness**2)
        for place, each in enumerate(noise):
            level = stickiness * level + each
            nats[place] = 5 + level
        found = of_tokens(nats, n_bytes, groups)
        assert found is not None
        assert (found.drawn, found.count) == ("blocks", 31)
        hits += found.low <= 5 / math.log(2) / 4 <= found.high
    return hits / texts


@pytest.mark.parametrize("stickiness", [0.0, 0.8])
def test_blocks_hold_the_truth_about_as_often_as_they_say(stickiness: float) -> None:
    assert 0.90 < covered(stickiness, 200) < 0.99


def test_blocks_shorter_than_a_group_promise_too_much() -> None:
    truth, whole, blocks = 5 / math.log(2) / 4, 0, 0
    for seed in range(200):
        draw = np.random.Generator(np.random.Philox(seed))
        groups = np.repeat(np.arange(40), draw.integers(100, 600, 40))
        nats = 5 + draw.normal(size=40)[groups] + draw.normal(size=len(groups))
        n_bytes = np.full(len(groups), 4)
        for_groups = of_tokens(nats, n_bytes, groups)
        for_blocks = of_tokens(nats, n_bytes, np.zeros_like(groups))
        assert for_groups is not None
        assert for_blocks is not None
        assert (for_groups.drawn, for_groups.count) == ("groups", 40)
        whole += for_groups.low <= truth <= for_groups.high
        blocks += for_blocks.low <= truth <= for_blocks.high
    assert 0.90 < whole / 200 < 0.99
    assert blocks < whole - 20


@pytest.mark.parametrize("count", [1, 5, 9])
def test_of_few_groups_blocks_are_taken(count: int) -> None:
    nats, n_bytes = np.arange(3000.0), np.ones(3000, dtype=np.int64)
    found = of_tokens(nats, n_bytes, np.arange(3000) % count)
    assert found is not None
    assert (found.drawn, found.count) == ("blocks", 11)


@pytest.mark.parametrize("length", [2, 3, 5, 40])
def test_the_shortest_texts_have_one_too(length: int) -> None:
    groups, n_bytes = np.zeros(length, dtype=np.int64), np.ones(length, dtype=np.int64)
    found = of_tokens(np.arange(1.0, length + 1), n_bytes, groups)
    assert found is not None
    assert found.low < found.value < found.high


def test_one_part_tells_nothing_of_others() -> None:
    assert of_tokens(np.ones(1), np.ones(1, dtype=np.int64), np.zeros(1, dtype=np.int64)) is None
    assert of_parts(np.array([5.0, 1.0]), np.array([3, 0]), "groups") is None
