"""Define the settings of evaluation: scoring, sampling and stress tests."""

from typing import Annotated

from pydantic import Field

from variorum.config.types import MOST_SEED, Real, Settings, Text, Truth, Whole, setting, unordered

StopString = Annotated[Text, Field(min_length=1)]


class EvaluateSettings(Settings):
    """Describe how the test text is scored."""

    stride: Whole | None = setting(
        None,
        "Tokens scored per window. null: half the context, so that every token sees at least "
        "half of it; the context length: separate blocks, as nanoGPT does.",
        unit="tokens",
        ge=1,
    )
    memorization_tokens: Whole = setting(
        2048,
        "Tokens generated to measure how much of them occurs in train.",
        unit="tokens",
        ge=64,
        omit_when=2048,
    )


class BaselineSettings(Settings):
    """Describe the baselines of a corpus."""

    most_ngram_order: Whole = setting(
        16, "Symbols of the longest n-grams that val may choose.", ge=1, le=64
    )
    most_train_bytes: Whole = setting(
        32_000_000,
        "Baselines read at most so much of train, its end; n-grams need 60 times the memory.",
        unit="bytes",
        ge=1,
        le=128_000_000,
        omit_when=32_000_000,
    )
    ppmd_orders: tuple[Annotated[Whole, Field(ge=2, le=64)], ...] = setting(
        (2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 64),
        "Orders of PPMd, bytes of its longest context, that val chooses from.",
        min_length=1,
    )


class DynamicSettings(Settings):
    """Describe how a model learns from the test text while it reads."""

    segment: Whole = setting(
        32, "Tokens that are scored, and then learned from, at once.", unit="tokens", ge=1
    )
    rates: tuple[Annotated[Real, Field(ge=0)], ...] = setting(
        (0.0, 0.03, 0.1, 0.3, 1.0),
        "How far a segment may move the weights; val chooses.",
        min_length=1,
    )
    pulls: tuple[Annotated[Real, Field(ge=0, le=1)], ...] = setting(
        (0.003, 0.01, 0.03),
        "How strongly weights are drawn back at each segment; val chooses.",
        min_length=1,
    )
    val_tokens: Whole = setting(
        8192, "Tokens of val that the choice is made by.", unit="tokens", ge=1
    )


class SamplingSettings(Settings):
    """Describe how tokens are drawn from the model's probabilities."""

    temperature: Real = setting(0.8, "Divides the logits; 0 takes the likeliest token.", ge=0)
    top_k: Whole | None = setting(None, "Keep only this many of the likeliest tokens.", ge=1)
    top_p: Real = setting(
        0.95, "Keep the likeliest tokens up to this total probability.", gt=0, le=1
    )
    min_p: Real = setting(
        0.0,
        "Keep tokens with at least this share of the highest probability; 0 keeps all.",
        ge=0,
        le=1,
        omit_when=0.0,
    )
    repetition_penalty: Real = setting(
        1.0,
        "Divides positive logits of recent tokens, and multiplies negative ones; 1: off.",
        ge=1,
        omit_when=1.0,
    )
    repetition_window: Whole = setting(
        64,
        "How far back repetition_penalty reaches, into the prompt too.",
        unit="tokens",
        ge=1,
        omit_when=64,
    )
    stop: Annotated[tuple[StopString, ...], unordered()] = setting(
        (), "The text ends before the first occurrence of one of these texts.", omit_when=()
    )
    valid_utf8: Truth = setting(
        True, "Draw only tokens that keep the text valid UTF-8, its end too.", omit_when=False
    )
    max_tokens: Whole = setting(200, "Most tokens to generate.", unit="tokens", ge=1)
    seed: Whole = setting(1, "Seed of the draws.", ge=0, le=MOST_SEED)


class StressSettings(Settings):
    """Describe the stress tests and the samples."""

    prompts: tuple[Text, ...] = setting(
        ("The", "This function"), "Prompts that every model of the report continues.", min_length=1
    )
    sampling: SamplingSettings = setting(SamplingSettings(), "How the prompts are continued.")
    case_tokens: Whole = setting(
        256, "Tokens generated in each case on the implementation.", unit="tokens", ge=16
    )
    texts: Whole = setting(
        24,
        "Texts that each model writes in a case on behaviour, each with a seed of its own.",
        ge=2,
    )
    text_tokens: Whole = setting(
        128,
        "Tokens of each of these texts, and of the human texts beside them.",
        unit="tokens",
        ge=8,
    )
    temperatures: Annotated[tuple[Annotated[Real, Field(gt=0)], ...], unordered()] = setting(
        (0.5, 0.75, 1.0, 1.25, 1.5),
        "Known words: temperatures of the texts. 1 is always one of them, and judged.",
    )
    human_margin: Real = setting(
        0.1,
        "Repetition and known words: how far a share may be from human text's to be like it.",
        gt=0,
        le=1,
    )
    noise_share: Real = setting(
        0.1,
        "Noise: share of the characters that are replaced, left out, or swapped with the next.",
        gt=0,
        le=1,
        omit_when=0.1,
    )
