"""List the stress cases: what the code does, and what the model has learned.

Implementation: each case asks one question of one model, measures something, and compares it with a
threshold that the nature of the case gave beforehand. It tests the code and the sampler, so any
model should pass, one of random weights too. An error is an outcome like any other: the case has
failed, and its explanation gives the error.

    soundness    the past alone decides, and decides the same every time
    overflow     writing on when the context is full: finite numbers, a cache that agrees with
                 computing everything anew
    extremes     each setting at its end
    strategies   valid text, and a cache that changes nothing, however the next token is chosen
    prompts      control characters, scripts and tokens that training never showed, nothing at all,
                 a prompt far too long, and the special token's name written out as text

Behaviour: each case measures what training has brought about, beside models that have learned
nothing and beside human text (`behaviour.outcome`).

    repetition   repeated tokens, pairs and runs, by how the next token is chosen
    words        known words, by the temperature
    context      the loss, by how much context is given
    noise        clean text behind context with slips
"""

from collections.abc import Callable
from functools import partial

from variorum.evaluation.printable import legible
from variorum.evaluation.stress.behaviour.context import context
from variorum.evaluation.stress.behaviour.noise import noise
from variorum.evaluation.stress.behaviour.outcome import Behaviour
from variorum.evaluation.stress.behaviour.panel import Panel
from variorum.evaluation.stress.behaviour.repetition import repetition
from variorum.evaluation.stress.behaviour.words import known_words
from variorum.evaluation.stress.implementation.extremes import extreme_settings
from variorum.evaluation.stress.implementation.overflow import overflow_cache
from variorum.evaluation.stress.implementation.prompts import (
    empty_prompt,
    full_context,
    hostile_text,
    long_prompt,
    rare_tokens,
    special_token_text,
)
from variorum.evaluation.stress.implementation.soundness import causality, determinism
from variorum.evaluation.stress.implementation.strategies import strategies_cache, valid_utf8
from variorum.evaluation.stress.subject import HOSTILE, StressedModel
from variorum.evaluation.verdicts import Case
from variorum.generation.text import continue_texts

IMPLEMENTATION: tuple[Callable[[StressedModel], Case], ...] = (
    causality,
    determinism,
    full_context,
    overflow_cache,
    extreme_settings,
    strategies_cache,
    valid_utf8,
    empty_prompt,
    special_token_text,
    *(partial(hostile_text, name=name) for name in HOSTILE),
    long_prompt,
    rare_tokens,
)
"""The cases on the code, in the order of the report."""

BEHAVIOUR: tuple[Callable[[Panel], Behaviour], ...] = (known_words, repetition, context, noise)
"""The cases on what was learned, in the order of the report."""


def implementation(subject: StressedModel) -> list[Case]:
    """Carry out every case on the code."""
    return [case(subject) for case in IMPLEMENTATION]


def behaviour(subject: StressedModel) -> list[Behaviour]:
    """Carry out every case on what the model has learned."""
    panel = Panel(subject)
    return [case(panel) for case in BEHAVIOUR]


def samples(subject: StressedModel) -> list[dict[str, str]]:
    """Continue each of the fixed prompts; return dictionaries of `prompt` and `text`."""
    prompts, settings = subject.settings.prompts, subject.settings
    how = [settings.sampling] * len(prompts)
    written = continue_texts(subject.model, subject.tokenizer, prompts, how)
    return [
        {"prompt": prompt, "text": legible(each.text)}
        for prompt, each in zip(prompts, written, strict=True)
    ]
