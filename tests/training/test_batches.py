"""Batches are a pure function of (seed, step)."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from variorum.errors import VariorumError
from variorum.training import batches

TOKENS = np.arange(1000, dtype=np.uint16)


def test_golden_starts_do_not_move_with_a_library() -> None:
    assert batches.starts(1, 1, 1000, 4).tolist() == GOLDEN


GOLDEN = [485, 686, 9, 628]


@given(st.integers(0, 2**32), st.integers(1, 10**6), st.integers(1, 50))
def test_every_window_lies_inside_the_text(seed: int, step: int, length: int) -> None:
    inputs, targets = batches.batch(TOKENS, seed, step, 8, length, slice(0, 8))
    assert inputs.shape == targets.shape == (8, length)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    assert int(targets.max()) < 1000


@given(st.integers(0, 100), st.integers(1, 100))
def test_shards_together_are_the_whole_batch(seed: int, step: int) -> None:
    whole, _ = batches.batch(TOKENS, seed, step, 8, 16, slice(0, 8))
    halves = [batches.batch(TOKENS, seed, step, 8, 16, slice(i, i + 4))[0] for i in (0, 4)]
    assert torch.equal(whole, torch.cat(halves))


def test_steps_and_seeds_differ() -> None:
    drawn = {tuple(batches.starts(seed, step, 10**6, 4)) for seed in (1, 2) for step in (1, 2, 3)}
    assert len(drawn) == 6


def test_starts_are_spread_evenly() -> None:
    drawn = np.concatenate([batches.starts(7, step, 10, 100) for step in range(100)])
    counts = np.bincount(drawn, minlength=10)
    assert counts.min() > 850
    assert counts.max() < 1150


def test_a_text_shorter_than_a_window_is_refused_with_a_remedy() -> None:
    with pytest.raises(VariorumError, match=r"context_length to at most 9 \(now 10\)"):
        batches.check_length(TOKENS[:10], 10, "the train part")
