"""Intervals of bits per byte hold the truth as often as they say, also where neighbours agree."""

import math

import numpy as np
import pytest

from variorum.evaluation.intervals import bits_per_byte


def covered(stickiness: float, texts: int, block: int) -> float:
    """Share of intervals that hold the true mean of a text whose neighbours cost alike."""
    hits, n_bytes = 0, np.full(8000, 4)
    for seed in range(texts):
        draw = np.random.Generator(np.random.Philox(seed))
        noise = draw.normal(size=8000)
        nats = np.empty(8000)
        level = noise[0] / math.sqrt(1 - stickiness**2)
        for place, each in enumerate(noise):
            level = stickiness * level + each
            nats[place] = 5 + level
        found = bits_per_byte(nats, n_bytes, block=block)
        hits += found.low <= 5 / math.log(2) / 4 <= found.high
    return hits / texts


@pytest.mark.parametrize("stickiness", [0.0, 0.8])
def test_they_hold_the_truth_about_as_often_as_they_say(stickiness: float) -> None:
    assert 0.89 < covered(stickiness, 200, block=256) < 0.99


def test_blocks_of_one_token_would_promise_too_much() -> None:
    assert covered(0.8, 20, block=1) < 0.7


def of_groups(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Costs, bytes and group of the tokens of 40 groups, each of which has a level of its own."""
    draw = np.random.Generator(np.random.Philox(seed))
    sizes = draw.integers(100, 600, 40)
    groups = np.repeat(np.arange(40), sizes)
    nats = 5 + draw.normal(size=40)[groups] + draw.normal(size=len(groups))
    return nats, np.full(len(groups), 4), groups


def test_whole_groups_are_drawn_where_they_cost_alike() -> None:
    truth, texts = 5 / math.log(2) / 4, range(200)
    whole, blocks = 0, 0
    for seed in texts:
        nats, n_bytes, groups = of_groups(seed)
        for_groups, for_blocks = bits_per_byte(nats, n_bytes, groups), bits_per_byte(nats, n_bytes)
        assert (for_groups.drawn, for_groups.count) == ("groups", 40)
        assert for_blocks.drawn == "blocks"
        whole += for_groups.low <= truth <= for_groups.high
        blocks += for_blocks.low <= truth <= for_blocks.high
    assert 0.89 < whole / len(texts) < 0.99
    assert blocks < whole - 20, "blocks shorter than a group promise too much"


def test_of_few_groups_blocks_are_drawn() -> None:
    nats, n_bytes, groups = of_groups(1)
    few = groups % 5
    assert bits_per_byte(nats, n_bytes, few) == bits_per_byte(nats, n_bytes)


def test_they_lie_around_what_was_measured_and_shrink_with_the_text() -> None:
    draw = np.random.Generator(np.random.Philox(1))
    widths = []
    for length in (2000, 200_000):
        nats, n_bytes = draw.exponential(2, length), draw.integers(0, 6, length)
        found = bits_per_byte(nats, n_bytes)
        assert found.low < nats.sum() / math.log(2) / n_bytes.sum() < found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 5


def test_equal_scores_give_equal_bits() -> None:
    nats, n_bytes = np.arange(50.0), np.ones(50, dtype=np.int64)
    assert bits_per_byte(nats, n_bytes) == bits_per_byte(nats, n_bytes)


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_the_shortest_texts_have_one_too(length: int) -> None:
    found = bits_per_byte(np.arange(1.0, length + 1), np.ones(length, dtype=np.int64))
    assert found.low <= found.high
