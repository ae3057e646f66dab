"""Measure how much of a model's free writing occurs, letter for letter, in train.

The measure is the share of 50-character spans (Carlini et al. 2023 use 50 tokens). Beside it is the
same share for the test text, which people wrote: a model that does not copy reaches about as much.
A text of fewer characters is a span by itself, and occurs where it is a whole train document.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from variorum.config.evaluation_settings import SamplingSettings
from variorum.corpus.leakage import share_of_spans
from variorum.generation.text import Written, continue_texts
from variorum.model.gpt import GPT
from variorum.tokenizer.base import Tokenizer

SPAN = 50  # characters
TEXTS = 8  # that are written at once
# every field, so that a changed default elsewhere changes nothing here
SAMPLING = SamplingSettings(
    temperature=1.0, top_k=None, top_p=1.0, valid_utf8=True, max_tokens=1, seed=0
)


@dataclass(frozen=True)
class Memorization:
    """Hold the shares of 50-character spans that occur in train, and their sizes.

    A share is None where there is no text.
    """

    written_share: float | None
    test_share: float | None
    written_characters: int
    tokens: int


def memorization(
    model: GPT, tokenizer: Tokenizer, tokens: int, *, train: Iterable[str], test: Iterable[str]
) -> Memorization:
    """Have the model write at least so many tokens, and find them in train documents.

    Train is read twice, and not held.

    Raises:
        ValueError: if train is an iterator, which would be empty the second time.
    """
    if isinstance(train, Iterator):
        raise ValueError("train is an iterator, and is read twice; give a list, or what iterates")
    written = _written(model, tokenizer, tokens)
    texts = [each.text for each in written]
    return Memorization(
        share_of_spans(texts, train, SPAN),
        share_of_spans(test, train, SPAN),
        sum(map(len, texts)),
        sum(each.account.tokens for each in written),
    )


def _written(model: GPT, tokenizer: Tokenizer, tokens: int) -> list[Written]:
    """Write texts of at least so many tokens in all, each with its own seed.

    Each begins from an empty prompt.
    """
    texts: list[Written] = []
    while sum(each.account.tokens for each in texts) < tokens:
        settings = [
            SAMPLING.model_copy(update={"max_tokens": -(-tokens // TEXTS), "seed": seed})
            for seed in range(len(texts), len(texts) + TEXTS)
        ]
        texts += continue_texts(model, tokenizer, [""] * TEXTS, settings)
    return texts
