"""Write until done or until an error, and examine the tokens.

An error is an outcome like any other here: its words go into the verdict.
"""

import codecs
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from variorum.base.errors import VariorumError
from variorum.config.evaluation_settings import SamplingSettings
from variorum.evaluation.bits import score
from variorum.evaluation.printable import legible
from variorum.generation import sampler
from variorum.model.gpt import GPT
from variorum.tokenizer.base import END_OF_TEXT, Tokenizer
from variorum.tokenizer.streaming import unfinished

Measured = TypeVar("Measured")
Job = tuple[list[int], SamplingSettings]
"""The tokens of a prompt, and how it is continued."""

EXCERPT = 320  # characters


@dataclass(frozen=True)
class Writing:
    """Hold tokens that a model wrote behind a prompt, until done or an error."""

    prompt: list[int]
    tokens: list[int]
    sampling: SamplingSettings
    problem: str = ""

    @property
    def wanted(self) -> int:
        """Return how many tokens it was to write."""
        return self.sampling.max_tokens


def attempt(measure: Callable[[], Measured]) -> tuple[Measured | None, str]:
    """Return the measurement; or None, and a sentence with the error."""
    try:
        return measure(), ""
    except Exception as error:  # the very thing that is tested for
        # a name of this project decides nothing, so renaming the class changes no result
        kind = "VariorumError" if isinstance(error, VariorumError) else type(error).__name__
        return None, f" It ended with {kind}: {error}"


def write_all(
    model: GPT, tokenizer: Tokenizer, jobs: Sequence[Job], *, use_cache: bool = True
) -> list[Writing]:
    """Continue each prompt by its settings, through ends of documents.

    All are written at once. If that ends with an error, each is written alone, so that one text's
    error is not another's.
    """
    written = _write(model, tokenizer, jobs, use_cache)
    if len(jobs) > 1 and any(each.problem for each in written):
        return [_write(model, tokenizer, [job], use_cache)[0] for job in jobs]
    return written


def _write(model: GPT, tokenizer: Tokenizer, jobs: Sequence[Job], use_cache: bool) -> list[Writing]:
    tokens: list[list[int]] = [[] for _ in jobs]

    def collect() -> None:
        drafts = [sampler.Draft(*job, tokenizer=tokenizer) for job in jobs]
        for number, token in sampler.write(model, drafts, use_cache=use_cache):
            tokens[number].append(token)

    _, problem = attempt(collect)
    return [
        Writing(prompt, own, sampling, problem)
        for (prompt, sampling), own in zip(jobs, tokens, strict=True)
    ]


def finite_share(model: GPT, tokenizer: Tokenizer, writing: Writing) -> float:
    """Return the share of wanted tokens that were written with finite probability."""
    if not writing.tokens:
        return 0.0
    context_length = model.settings.context_length
    read = np.array([*writing.prompt[-context_length:], *writing.tokens])
    stride = -(-context_length // 2)
    nats = score(model, read, eot=tokenizer.eot, stride=stride).nats
    finite = np.isfinite(nats[-len(writing.tokens) :]).sum()
    return float(finite) / writing.wanted


def equal_tokens(one: Writing, other: Writing) -> int:
    """Return how many tokens are the same, from the first on."""
    pairs = zip(one.tokens, other.tokens, strict=False)
    differs = (place for place, (a, b) in enumerate(pairs) if a != b)
    return next(differs, min(len(one.tokens), len(other.tokens)))


def written_text(tokenizer: Tokenizer, tokens: Iterable[int]) -> str:
    """Return the tokens as text: document ends as NUL, invalid bytes as surrogates.

    A character that was cut off by the end of the writing is left out.
    """
    data = _data(tokenizer, tokens)
    return codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data)


def bad_bytes(tokenizer: Tokenizer, writing: Writing) -> int:
    """Count bytes of no character; the first may finish the prompt's last one."""
    data = unfinished(tokenizer, writing.prompt) + _data(tokenizer, writing.tokens)
    text = data.decode("utf-8", "surrogateescape")
    return sum("\udc80" <= character <= "\udcff" for character in text)


def excerpt(tokenizer: Tokenizer, tokens: Iterable[int]) -> str:
    """Return the beginning of a written text, fit to print."""
    text = written_text(tokenizer, tokens).replace("\0", END_OF_TEXT)
    return legible(text[:EXCERPT])


def _data(tokenizer: Tokenizer, tokens: Iterable[int]) -> bytes:
    return b"".join(tokenizer.token_bytes(token) or b"\0" for token in tokens)
