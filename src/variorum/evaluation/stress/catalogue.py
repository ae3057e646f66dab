"""List the stress cases: what a model does where it was not trained to be.

Each case asks one question of one model, measures something, and compares it with a threshold that
the settings or the nature of the case gave beforehand. An error is an outcome like any other: the
case has failed, and its explanation gives the error.

    soundness    the past alone decides, and decides the same every time
    overflow     writing on when the context is full: finite numbers, a cache that agrees with
                 computing everything anew, text that does not become much harder to predict
    repetition   loops, by how the next token is chosen
    extremes     a high temperature, and each setting at its end
    strategies   valid text, and a cache that changes nothing, however the next token is chosen
    noise        clean text behind text with slips
    prompts      control characters, scripts and tokens that training never showed, nothing at all,
                 a prompt far too long, and the special token's name written out as text

Takes model, tokenizer, settings, held-out tokens, and how often each token occurs in train.
"""

from collections.abc import Callable
from functools import partial

from variorum.config.evaluation_settings import StressSettings
from variorum.evaluation.printable import legible
from variorum.evaluation.stress.extremes import extreme_settings, high_temperature
from variorum.evaluation.stress.noise import noise
from variorum.evaluation.stress.overflow import overflow_cache, overflow_loss
from variorum.evaluation.stress.prompts import (
    empty_prompt,
    full_context,
    hostile_text,
    long_prompt,
    rare_tokens,
    special_token_text,
)
from variorum.evaluation.stress.repetition import repetition
from variorum.evaluation.stress.soundness import causality, determinism
from variorum.evaluation.stress.strategies import strategies_cache, valid_utf8
from variorum.evaluation.stress.subject import HOSTILE, Integers, StressedModel
from variorum.evaluation.verdicts import Case
from variorum.generation.text import continue_texts
from variorum.model.gpt import GPT
from variorum.tokenizer.base import Tokenizer

CASES: tuple[Callable[[StressedModel], Case], ...] = (
    causality,
    determinism,
    full_context,
    overflow_cache,
    overflow_loss,
    repetition,
    high_temperature,
    extreme_settings,
    strategies_cache,
    valid_utf8,
    noise,
    empty_prompt,
    special_token_text,
    *(partial(hostile_text, name=name) for name in HOSTILE),
    long_prompt,
    rare_tokens,
)
"""The cases, in the order of the report."""


def catalogue(
    model: GPT,
    tokenizer: Tokenizer,
    settings: StressSettings,
    *,
    held_out: Integers,
    train_counts: Integers,
) -> list[Case]:
    """Carry out every case.

    Args:
        model: the model, in any mode.
        tokenizer: the one it was trained with.
        settings: thresholds, prompts, and how long each case may write.
        held_out: the stream of a part that was not trained on (N,); if short, it is read again.
        train_counts: how often each token occurs in the text it was trained on (V,).
    """
    subject = StressedModel(model, tokenizer, settings, held_out, train_counts)
    return [case(subject) for case in CASES]


def samples(model: GPT, tokenizer: Tokenizer, settings: StressSettings) -> list[dict[str, str]]:
    """Continue each of the fixed prompts; return dictionaries of `prompt` and `text`."""
    prompts = settings.prompts
    written = continue_texts(model, tokenizer, prompts, [settings.sampling] * len(prompts))
    return [
        {"prompt": prompt, "text": legible(each.text)}
        for prompt, each in zip(prompts, written, strict=True)
    ]
