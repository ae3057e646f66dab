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
        found = bits_per_byte(nats, n_bytes, block)
        hits += found.low <= 5 / math.log(2) / 4 <= found.high
    return hits / texts


@pytest.mark.parametrize("stickiness", [0.0, 0.8])
def test_they_hold_the_truth_about_as_often_as_they_say(stickiness: float) -> None:
    assert 0.89 < covered(stickiness, 200, block=256) < 0.99


def test_blocks_of_one_token_would_promise_too_much() -> None:
    assert covered(0.8, 20, block=1) < 0.7


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
