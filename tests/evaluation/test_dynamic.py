"""Dynamic evaluation: every token is paid for before it is learned from."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.adapting import dynamic_one_by_one
from variorum.base.errors import VariorumError
from variorum.config.evaluation_settings import DynamicSettings
from variorum.config.model_settings import ModelSettings
from variorum.evaluation.bits import score
from variorum.evaluation.dynamic import Adaptation, best_adaptation, dynamic_nats
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


@settings(max_examples=15, deadline=None)
@given(
    streams, st.integers(1, CONTEXT), st.floats(0, 0.5), st.floats(0, 1), st.sampled_from([1, 5])
)
def test_nats_equal_the_slow_twins(
    tokens: list[int], segment: int, rate: float, pull: float, sharpness: int
) -> None:
    model = sharp_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(sharpness / 5)
    found = dynamic_nats(
        model, np.array(tokens), eot=EOT, adaptation=Adaptation(rate, pull, segment)
    )
    slow = dynamic_one_by_one(model, tokens, eot=EOT, segment=segment, rate=rate, pull=pull)
    assert found == pytest.approx(slow, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("changes", [{}, {"positions": "rotary", "tied_head": False}])
@settings(max_examples=10, deadline=None)
@given(streams, st.integers(1, CONTEXT))
def test_who_does_not_learn_scores_as_ever(
    changes: dict[str, object], tokens: list[int], segment: int
) -> None:
    model = sharp_model(**changes)
    found = dynamic_nats(model, np.array(tokens), eot=EOT, adaptation=Adaptation(0.0, 0.5, segment))
    static = score(model, np.array(tokens), eot=EOT, stride=segment).nats
    assert found == pytest.approx(static, rel=1e-9)


def test_the_model_is_as_it_was_afterwards_and_a_failure_changes_nothing() -> None:
    model = sharp_model().train()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    dynamic_nats(model, np.arange(30) % VOCAB, eot=EOT, adaptation=Adaptation(0.1, 0.0, 4))
    with pytest.raises(IndexError):
        dynamic_nats(
            model, np.array([1, 2, VOCAB + 5]), eot=EOT, adaptation=Adaptation(0.1, 0.0, 4)
        )
    assert all(map(torch.equal, model.parameters(), before))
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_token_does_not_depend_on_those_behind_its_segment() -> None:
    """What it is worth to look ahead: nothing, as it is paid for before."""
    model, tokens, adaptation = sharp_model(), np.arange(40) % 7, Adaptation(0.2, 0.01, 4)
    whole = dynamic_nats(model, tokens, eot=EOT, adaptation=adaptation)
    for end in (8, 16, 28):
        assert dynamic_nats(model, tokens[:end], eot=EOT, adaptation=adaptation) == pytest.approx(
            whole[:end]
        )


def test_what_repeats_costs_less_by_and_by_and_val_chooses_to_learn_from_it() -> None:
    model, val = sharp_model(1), np.array([1, 5, 2, 8] * 30)
    rates, pulls = (0.0, 1e-2, 0.3, 1e200), (0.0, 1e-3, 1.0)
    chosen = DynamicSettings(segment=4, rates=rates, pulls=pulls)
    best = best_adaptation(model, val, chosen, eot=EOT)
    assert best.rate in (1e-2, 0.3)
    assert best.pull < 1
    nats = dynamic_nats(model, val, eot=EOT, adaptation=Adaptation(0.3, 0.0, 4))
    assert nats[-40:].mean() < nats[:40].mean() / 2


def test_where_nothing_repeats_val_chooses_not_to_learn() -> None:
    noise = np.random.Generator(np.random.Philox(3)).integers(0, VOCAB, 400)
    flat = GPT(SETTINGS, VOCAB).double()
    with torch.no_grad():
        for parameter in flat.parameters():
            parameter.mul_(0)
    chosen = DynamicSettings(segment=4, rates=(0.0, 1.0), pulls=(0.0,))
    best = best_adaptation(flat, noise, chosen, eot=EOT)
    assert best.rate == 0.0


def test_a_model_that_diverges_while_it_learns_has_no_score() -> None:
    """Of rates that all cost infinitely much, none is the best."""
    model, val = sharp_model(1), np.array([1, 5, 2, 8] * 30)
    wild = DynamicSettings(segment=4, rates=(1e200, 1e250), pulls=(0.0,))
    with pytest.raises(VariorumError, match=r"on val at every rate, 1e\+200, 1e\+250; give"):
        best_adaptation(model, val, wild, eot=EOT)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(VariorumError, match=r"diverges .* at rate 1e\+200; give dynamic.rates"):
        dynamic_nats(model, val, eot=EOT, adaptation=Adaptation(1e200, 0.0, 4))
    assert all(map(torch.equal, model.parameters(), before))


def test_a_full_pull_undoes_each_step() -> None:
    model, tokens = sharp_model(), np.arange(40) % 7
    pulled = dynamic_nats(model, tokens, eot=EOT, adaptation=Adaptation(0.1, 1.0, 4))
    one_step = dynamic_nats(model, tokens, eot=EOT, adaptation=Adaptation(0.1, 0.0, 4))
    assert pulled[: CONTEXT + 4] == pytest.approx(one_step[: CONTEXT + 4])
    assert pulled[CONTEXT + 4 :] != pytest.approx(one_step[CONTEXT + 4 :])


def test_only_the_beginning_of_val_chooses_and_no_segment_is_longer_than_the_context() -> None:
    model, val = sharp_model(1), np.array([1, 5, 2, 8] * 20)
    many = DynamicSettings(segment=1000, rates=(0.0, 0.3), pulls=(0.0,), val_tokens=40)
    best = best_adaptation(model, val, many, eot=EOT)
    assert best.segment == CONTEXT
    assert best == best_adaptation(model, np.append(val[:40], [9] * 100), many, eot=EOT)
