"""Every fault planted in the code is found by the stress case that looks for it."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from faulty import (
    Breaks,
    Drops,
    Greets,
    Leaks,
    Loses,
    Naive,
    Raises,
    Shared,
    Stale,
    Summary,
    Unseen,
    broken_weights,
    ignores,
    lets_through,
    long_settings,
    nothing,
    patched,
    shifted_positions,
)
from stressed import TOKENIZER, Letters, sound_model, subject_of

from variorum.evaluation.stress.catalogue import IMPLEMENTATION
from variorum.generation import decoder, sampler
from variorum.generation.cache import Cache
from variorum.generation.utf8_guard import Utf8Guard
from variorum.model.gpt import GPT
from variorum.model.positions import learned
from variorum.tokenizer.kinds.bpe import BytePairTokenizer

pytest_plugins = ("stressed_fixtures",)


@dataclass(frozen=True)
class Fault:
    """What is wrong: another class of model or tokenizer, changed weights, or a patch."""

    model: type[GPT] = Letters
    tokenizer: type[BytePairTokenizer] = BytePairTokenizer
    damage: Callable[[GPT], None] = nothing
    patch: Callable[[pytest.MonkeyPatch], None] = nothing


FAULTS = [
    ("causality", "a mask that leaks", Fault(Leaks)),
    ("causality", "a sum over the whole text", Fault(Summary)),
    ("causality", "NaN in the weights", Fault(damage=broken_weights)),
    ("determinism", "dropout left on", Fault(Drops)),
    ("overflow-continues", "numbers that break behind a cut", Fault(Breaks)),
    ("overflow-continues", "NaN in the weights", Fault(damage=broken_weights)),
    (
        "overflow-continues",
        "a cache that is never cleared",
        Fault(patch=patched(Cache, "clear", nothing)),
    ),
    ("overflow-cache", "a stale cache", Fault(patch=patched(decoder, "Cache", Stale))),
    ("overflow-cache", "dropout left on", Fault(Drops)),
    ("extreme-settings", "top_k is ignored", Fault(patch=ignores("top_k", None))),
    ("extreme-settings", "top_p is ignored", Fault(patch=ignores("top_p", 1.0))),
    ("extreme-settings", "temperature is ignored", Fault(patch=ignores("temperature", 1.0))),
    (
        "extreme-settings",
        "a guard that allows everything",
        Fault(patch=patched(Utf8Guard, "allowed", lambda self, state, left: self.cost[state] >= 0)),
    ),
    (
        "strategies-cache",
        "positions shifted behind the cache",
        Fault(patch=patched(learned.Positions, "embed", shifted_positions)),
    ),
    ("strategies-cache", "a stale cache", Fault(patch=patched(decoder, "Cache", Stale))),
    ("strategies-cache", "one generator", Fault(patch=patched(sampler, "Draft", Shared))),
    ("valid-utf8", "a guard that lets a byte through", Fault(patch=lets_through(180))),
    (
        "valid-utf8",
        "a guard that begins what cannot be finished",
        Fault(patch=patched(Utf8Guard, "allowed", lambda self, state, left: self.cost[state] < 5)),
    ),
    ("empty-prompt", "a tokenizer that makes a token of nothing", Fault(tokenizer=Greets)),
    ("empty-prompt", "NaN in the weights", Fault(damage=broken_weights)),
    ("special-token-text", "the special token made of text", Fault(tokenizer=Naive)),
    ("hostile-special-token", "the special token made of text", Fault(tokenizer=Naive)),
    ("hostile-control-characters", "a tokenizer that loses text", Fault(tokenizer=Loses)),
    ("hostile-emoji", "a tokenizer that loses text", Fault(tokenizer=Loses)),
    ("hostile-emoji", "an error at one token", Fault(Raises)),
    ("hostile-right-to-left", "a tokenizer that loses text", Fault(tokenizer=Loses)),
    ("hostile-zero-width", "a tokenizer that loses text", Fault(tokenizer=Loses)),
    ("hostile-long-prompt", "fewer positions than context", Fault(damage=long_settings)),
    ("hostile-rare-tokens", "no embeddings of rare tokens", Fault(Unseen)),
]
"""Case, what is wrong, and how; the sound model of every other test is the healthy twin."""


@pytest.mark.parametrize(
    ("name", "fault"),
    [pytest.param(name, fault, id=f"{name}: {what}") for name, what, fault in FAULTS],
)
def test_each_case_catches_its_planted_fault(sound_cases, monkeypatch, name, fault):
    assert sound_cases[name].passed
    model = sound_model(fault.model)
    fault.damage(model)
    fault.patch(monkeypatch)
    case = IMPLEMENTATION[list(sound_cases).index(name)]
    found = case(subject_of(model, fault.tokenizer(TOKENIZER.merges)))
    assert found.name == name
    assert not found.passed


def test_every_case_of_the_catalogue_has_a_planted_fault(sound_cases):
    assert {name for name, _, _ in FAULTS} == set(sound_cases)
