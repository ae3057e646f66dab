"""The stress catalogue: a sound model passes, and a fault fails just what it concerns."""

import json
from dataclasses import asdict

import pytest
import torch
from faulty import (
    Breaks,
    Brittle,
    Loses,
    Naive,
    Raises,
    Repeats,
    broken_weights,
    ignores,
)
from stressed import (
    MODEL,
    SETTINGS,
    TOKENIZER,
    Letters,
    cases,
    failed,
    sound_model,
    subject_of,
)

from variorum.evaluation.stress.extremes import EXTREMES
from variorum.evaluation.stress.overflow import overflow_loss
from variorum.evaluation.stress.subject import AS_SAMPLES, HOSTILE, STRATEGIES

pytest_plugins = ("stressed_fixtures",)


def test_a_sound_model_passes_every_case(sound_cases):
    assert {name for name, case in sound_cases.items() if not case.passed} == set()


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
    for name in ("repetition", "overflow-loss", "causality", "noise", "valid-utf8"):
        assert found[name].measured is None
    json.dumps([asdict(case) for case in found.values()], allow_nan=False)


def test_a_fault_fails_no_case_that_it_does_not_concern():
    assert failed(sound_model(Repeats)) == {"repetition"}
    assert failed(sound_model(Brittle)) == {"noise"}
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


def test_overflow_loss_compares_the_same_tokens():
    class Even(Letters):
        """Finds some tokens much harder than others, wherever they stand."""

        def forward(self, ids, cache=None):
            """The same logits everywhere."""
            logits = torch.arange(self.vocab_size, dtype=torch.float32) / 10
            return logits.expand(*ids.shape, -1)

    assert overflow_loss(subject_of(sound_model(Even))).measured == pytest.approx(1.0)


def test_repetition_shows_every_strategy_and_judges_the_sampled_ones(sound_cases):
    parts = sound_cases["repetition"].parts
    assert list(parts) == [*STRATEGIES, AS_SAMPLES]
    assert [name for name in parts if name.startswith("likeliest")] == [
        name for name, share in parts.items() if share.endswith("%, not judged")
    ]
    sampled = [float(share.removesuffix(" %")) for share in parts.values() if share[-1] == "%"]
    assert 100 * sound_cases["repetition"].measured == pytest.approx(max(sampled), abs=0.5)


def test_samples_without_chance_are_shown_and_not_judged():
    likeliest = SETTINGS.sampling.model_copy(update={"temperature": 0.0})
    settings = SETTINGS.model_copy(update={"sampling": likeliest})
    case = cases(sound_model(Letters), settings=settings)["repetition"]
    assert case.parts[AS_SAMPLES].endswith("not judged")
    assert case.passed


def test_settings_at_their_ends_are_told_apart(monkeypatch):
    ignores("top_k", None)(monkeypatch)
    parts = cases(sound_model(Letters))["extreme-settings"].parts
    assert list(parts) == list(EXTREMES)
    assert [name for name, outcome in parts.items() if outcome != "holds"] == ["top-k 1"]
    assert "likeliest" in parts["top-k 1"]
