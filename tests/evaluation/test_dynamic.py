"""Dynamic evaluation: every token is paid for before it is learned from."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.adapting import dynamic_one_by_one
from variorum.config.model_settings import ModelSettings
from variorum.evaluation.bits import score
from variorum.evaluation.dynamic import Pace, Reading, best_pace, dynamic_nats, gradient_rms
from variorum.model.gpt import GPT

CONTEXT, VOCAB, EOT = 8, 11, 10
SETTINGS = ModelSettings(n_layer=1, n_head=2, n_embd=8, context_length=CONTEXT, dropout=0.5)

streams = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=30)


def sharp_model(seed: int = 0, **changes: object) -> GPT:
    """A model whose predictions depend strongly on what it sees, free of rounding."""
    model = GPT(SETTINGS.model_copy(update=changes), VOCAB, seed).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5)
    return model


def reading_of(model: GPT, segment: int, seed: int = 0) -> Reading:
    draw = np.random.Generator(np.random.Philox(seed))
    train = draw.integers(0, VOCAB, 200)
    rms = gradient_rms(model, train, eot=EOT, segment=segment)
    return Reading(EOT, segment, rms)


@settings(max_examples=15, deadline=None)
@given(streams, st.integers(1, CONTEXT), st.floats(0, 0.05), st.floats(0, 0.5))
def test_nats_equal_the_slow_twins(
    tokens: list[int], segment: int, rate: float, pull: float
) -> None:
    model = sharp_model()
    reading = reading_of(model, segment)
    found = dynamic_nats(model, np.array(tokens), reading, Pace(rate, pull))
    slow = dynamic_one_by_one(
        model, tokens, eot=EOT, segment=segment, rms=reading.rms, rate=rate, pull=pull
    )
    assert found == pytest.approx(slow, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("changes", [{}, {"positions": "rotary", "tied_head": False}])
@settings(max_examples=10, deadline=None)
@given(streams, st.integers(1, CONTEXT))
def test_who_does_not_learn_scores_as_ever(
    changes: dict[str, object], tokens: list[int], segment: int
) -> None:
    model = sharp_model(**changes)
    found = dynamic_nats(model, np.array(tokens), reading_of(model, segment), Pace(0.0, 0.0))
    static = score(model, np.array(tokens), eot=EOT, stride=segment).nats
    assert found == pytest.approx(static, rel=1e-9)


def test_the_model_is_as_it_was_afterwards_and_a_failure_changes_nothing() -> None:
    model = sharp_model().train()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    reading = reading_of(model, 4)
    dynamic_nats(model, np.arange(30) % VOCAB, reading, Pace(0.1, 0.0))
    with pytest.raises(IndexError):
        dynamic_nats(model, np.array([1, 2, VOCAB + 5]), reading, Pace(0.1, 0.0))
    assert all(map(torch.equal, model.parameters(), before))
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_token_does_not_depend_on_those_behind_its_segment() -> None:
    """What it is worth to look ahead: nothing, as it is paid for before."""
    model, tokens = sharp_model(), np.arange(40) % 7
    reading, pace = reading_of(model, 4), Pace(0.02, 0.01)
    whole = dynamic_nats(model, tokens, reading, pace)
    for end in (8, 16, 28):
        assert dynamic_nats(model, tokens[:end], reading, pace) == pytest.approx(whole[:end])


def test_what_repeats_costs_less_by_and_by_and_val_chooses_to_learn_from_it() -> None:
    model = sharp_model(1)
    reading = reading_of(model, 4)
    val = np.array([1, 5, 2, 8] * 30)
    paces = [Pace(0.0, 0.0), Pace(1e-3, 0.0), Pace(1e-2, 0.0)]
    assert best_pace(model, val, reading, paces).rate > 0
    too_fast = Pace(1e200, 0.0)
    assert not np.isfinite(dynamic_nats(model, val, reading, too_fast).sum())
    assert best_pace(model, val, reading, [too_fast, *paces]).rate < 1
    nats = dynamic_nats(model, val, reading, Pace(1e-2, 0.0))
    assert nats[-40:].mean() < nats[:40].mean() / 2
    noise = np.random.Generator(np.random.Philox(3)).integers(0, VOCAB, 120)
    flat = GPT(SETTINGS, VOCAB).double()
    with torch.no_grad():
        for parameter in flat.parameters():
            parameter.mul_(0)
    assert best_pace(flat, noise, reading, paces[::2]).rate == 0.0


def test_a_full_pull_undoes_each_step() -> None:
    model, tokens = sharp_model(), np.arange(40) % 7
    reading = Reading(EOT, 4, [torch.ones_like(p) for p in model.parameters()])
    pulled = dynamic_nats(model, tokens, reading, Pace(0.02, 1.0))
    one_step = dynamic_nats(model, tokens, reading, Pace(0.02, 0.0))
    assert pulled[: CONTEXT + 4] == pytest.approx(one_step[: CONTEXT + 4])
    assert pulled[CONTEXT + 4 :] != pytest.approx(one_step[CONTEXT + 4 :])
