"""The stress cases on the implementation: any model passes, a fault fails what it concerns."""

import copy
import json
from dataclasses import asdict

import pytest
import torch
from faulty import (
    Breaks,
    Ends,
    Loses,
    Naive,
    Raises,
    Repeats,
    broken_weights,
    ignores,
)
from stressed import (
    MODEL,
    TOKENIZER,
    Letters,
    cases,
    failed,
    sound_model,
)

from variorum.evaluation.stress.behaviour.controls import random_model, shuffled_model
from variorum.evaluation.stress.implementation.extremes import EXTREMES
from variorum.evaluation.stress.subject import HOSTILE

pytest_plugins = ("stressed_fixtures",)


def test_a_sound_model_passes_every_case(sound_cases):
    assert {name for name, case in sound_cases.items() if not case.passed} == set()


def weightless(model):
    model = copy.deepcopy(model)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    return model


@pytest.mark.parametrize("change", [random_model, shuffled_model])
def test_models_that_have_learned_nothing_pass_the_cases_on_the_code(change):
    assert failed(change(sound_model())) == set()


def test_without_a_likeliest_token_no_setting_can_leave_it_alone():
    found = cases(weightless(sound_model()))
    assert {name for name, case in found.items() if not case.passed} == {"extreme-settings"}
    parts = found["extreme-settings"].parts
    assert [name for name, outcome in parts.items() if outcome != "holds"] == ["temperature 1e-6"]


@pytest.mark.parametrize("cls", [Repeats, Ends])
def test_a_model_that_writes_one_token_passes_the_cases_on_the_code(cls):
    assert failed(sound_model(cls)) == set()


def test_cases_say_what_they_measured_and_can_be_stored(sound_cases):
    for name, case in sound_cases.items():
        assert case.name == name
        assert case.title
        assert case.question.endswith("?")
        assert case.explanation
        assert case.explanation == case.explanation.strip()
        assert json.loads(json.dumps(asdict(case), allow_nan=False)) == asdict(case)
    assert len({case.title for case in sound_cases.values()}) == len(sound_cases)


def test_the_same_model_gives_the_same_cases(sound, sound_cases):
    assert cases(sound) == sound_cases


def test_a_model_that_is_still_training_is_judged_without_dropout(sound_cases):
    settings = MODEL.model_copy(update={"dropout": 0.2})
    model = Letters(settings, TOKENIZER.vocab_size, 0)
    model.load_state_dict(sound_model(Letters).state_dict())
    model.train()
    assert cases(model) == sound_cases
    assert model.training


def test_numbers_that_are_not_finite_fail_everything_that_writes():
    model = sound_model()
    broken_weights(model)
    found = cases(model)
    assert {name for name, case in found.items() if case.passed} == {"special-token-text"}
    assert "not finite" in found["hostile-emoji"].explanation
    assert "not finite" in found["extreme-settings"].parts["top-k 1"]
    for name in ("causality", "determinism", "valid-utf8"):
        assert found[name].measured is None
    json.dumps([asdict(case) for case in found.values()], allow_nan=False)


def test_a_fault_fails_no_case_that_it_does_not_concern():
    assert failed(sound_model(Letters), Naive(TOKENIZER.merges)) == {
        "special-token-text",
        "hostile-special-token",
    }
    odd = {f"hostile-{name}" for name, (_, text) in HOSTILE.items() if not text.isascii()}
    assert len(odd) == 4
    assert failed(sound_model(Letters), Loses(TOKENIZER.merges)) == odd


def test_numbers_that_break_only_beyond_the_context_fail_overflow():
    found = failed(sound_model(Breaks))
    assert {"overflow-continues", "overflow-cache", "hostile-long-prompt"} <= found


def test_an_error_is_an_outcome_names_itself_and_is_one_texts_alone():
    found = cases(sound_model(Raises))
    assert not found["hostile-emoji"].passed
    assert "RuntimeError: index out of range" in found["hostile-emoji"].explanation
    assert found["hostile-zero-width"].passed


def test_settings_at_their_ends_are_told_apart(monkeypatch):
    ignores("top_k", None)(monkeypatch)
    parts = cases(sound_model(Letters))["extreme-settings"].parts
    assert list(parts) == list(EXTREMES)
    assert [name for name, outcome in parts.items() if outcome != "holds"] == ["top-k 1"]
    assert "likeliest" in parts["top-k 1"]
