"""Batches are a pure function of (seed, step)."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from variorum.base import components
from variorum.base.errors import VariorumError
from variorum.config.training_settings import FinetuneSettings, TrainingSettings
from variorum.training import batches
from variorum.training.batch_orders import permutation, replacement, sliding
from variorum.training.batches import Batches

TOKENS = np.arange(1000, dtype=np.uint16)
BASE = np.arange(5000, 6000, dtype=np.uint16)
GOLDEN = {
    "replacement": [485, 686, 9, 628],
    "permutation": [944, 32, 928, 128],
    "sliding": [0, 16, 32, 48],
}

every_order = pytest.mark.parametrize("order", components.options("training/batch_orders"))


def batches_of(
    order: str = "replacement", seed: int = 1, length: int = 16, **changes: object
) -> Batches:
    settings = TrainingSettings(batch_size=8, batches=order, **changes)
    return Batches(TOKENS, settings, seed, length)


def starts(order: str, seed: int, step: int, count: int, n_tokens: int = 1016) -> list[int]:
    function = components.load("training/batch_orders", order).starts
    found: list[int] = function(seed, step, count, n_tokens, 16, 16).tolist()
    return found


@every_order
def test_golden_starts_do_not_move_with_a_library(order: str) -> None:
    assert starts(order, 1, 1, 4) == GOLDEN[order]


@every_order
@given(st.integers(0, 2**63 - 1), st.integers(1, 10**6), st.integers(1, 50), st.integers(1, 60))
def test_every_window_lies_inside_the_text(
    order: str, seed: int, step: int, length: int, stride: int
) -> None:
    inputs, targets = batches_of(order, seed, length, stride=stride).rows(step, slice(0, 8))
    assert inputs.shape == targets.shape == (8, length)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    assert torch.equal(targets, inputs + 1)
    assert int(targets.max()) < 1000


@every_order
@given(st.integers(0, 100), st.integers(1, 100))
def test_shards_together_are_the_whole_batch(order: str, seed: int, step: int) -> None:
    made = batches_of(order, seed)
    halves = [made.rows(step, slice(i, i + 4))[0] for i in (0, 4)]
    assert torch.equal(made.rows(step, slice(0, 8))[0], torch.cat(halves))


@pytest.mark.parametrize("order", ["replacement", "permutation"])
def test_steps_and_seeds_differ(order: str) -> None:
    drawn = {tuple(starts(order, seed, step, 4, 10**6)) for seed in (1, 2) for step in (1, 2, 3)}
    assert len(drawn) == 6


def test_windows_drawn_with_replacement_are_spread_evenly() -> None:
    drawn = np.concatenate([replacement.starts(7, step, 100, 26, 16, 16) for step in range(100)])
    counts = np.bincount(drawn, minlength=10)
    assert counts.min() > 850
    assert counts.max() < 1150


@given(st.integers(1, 300), st.integers(0, 2**63 - 1), st.integers(0, 1000))
def test_a_permutation_is_one(size: int, seed: int, epoch: int) -> None:
    found = permutation.permuted(np.arange(size), size, seed, epoch)
    assert sorted(found.tolist()) == list(range(size))


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 30))
def test_each_epoch_shows_every_window_once(n_windows: int, batch: int, stride: int) -> None:
    n_tokens = 16 + 1 + (n_windows - 1) * stride
    drawn = np.concatenate(
        [permutation.starts(3, step, batch, n_tokens, 16, stride) for step in range(1, 61)]
    )
    for epoch in range(len(drawn) // n_windows):
        seen = drawn[epoch * n_windows : (epoch + 1) * n_windows]
        assert sorted(seen.tolist()) == [n * stride for n in range(n_windows)]


def test_epochs_are_dealt_anew_and_evenly() -> None:
    size, epochs = 20, 2000
    orders = [permutation.permuted(np.arange(size), size, 5, epoch) for epoch in range(epochs)]
    assert len({tuple(order) for order in orders}) == epochs
    counts = np.stack([np.bincount(places, minlength=size) for places in zip(*orders, strict=True)])
    expected = epochs / size
    assert np.abs(counts - expected).max() < 6 * expected**0.5


def test_sliding_windows_continue_where_the_last_batch_ended() -> None:
    found = np.concatenate([sliding.starts(0, step, 3, 100, 10, 20) for step in (1, 2, 3)])
    assert found.tolist() == [0, 20, 40, 60, 80, 0, 20, 40, 60]


def replaying(share: float) -> Batches:
    settings = FinetuneSettings(batch_size=8)
    return Batches(TOKENS, settings, 1, 16, replayed=BASE, replay=share)


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.25, 2), (0.5, 4), (0.9, 7)])
def test_replayed_rows_are_of_the_base_corpus_and_come_last(share: float, count: int) -> None:
    inputs, targets = replaying(share).rows(3, slice(0, 8))
    assert [bool(row.min() >= 5000) for row in inputs] == [False] * (8 - count) + [True] * count
    assert torch.equal(targets, inputs + 1)


@given(st.integers(1, 50), st.lists(st.integers(0, 8), min_size=2, max_size=2))
def test_rows_of_a_replaying_batch_can_be_taken_apart(step: int, cuts: list[int]) -> None:
    made, (begin, end) = replaying(0.4), sorted(cuts)
    whole, _ = made.rows(step, slice(0, 8))
    assert torch.equal(made.rows(step, slice(begin, end))[0], whole[begin:end])


def test_a_text_shorter_than_a_window_is_refused_with_a_remedy() -> None:
    with pytest.raises(VariorumError, match=r"context_length to at most 9 \(now 10\)"):
        batches.check_length(TOKENS[:10], 10, "the train part")


@every_order
def test_the_shortest_text_is_one_window(order: str) -> None:
    settings = TrainingSettings(batch_size=4, batches=order, shards=1)
    inputs, _ = Batches(TOKENS[:17], settings, 1, 16).rows(9, slice(0, 4))
    assert torch.equal(inputs, torch.arange(16).expand(4, 16))
