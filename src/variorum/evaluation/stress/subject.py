"""Hold what the cases examine, and the texts that several cases judge, each written once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from variorum.config.evaluation_settings import SamplingSettings, StressSettings
from variorum.config.types import MOST_SEED
from variorum.evaluation.stress.writing import Job, Writing, write_all
from variorum.model.gpt import GPT
from variorum.tokenizer.base import END_OF_TEXT, Tokenizer

Integers = npt.NDArray[np.integer]

SHORTER = 4  # times, where there are many texts or each takes long
FEWER = 3  # times, where texts are shown and not judged
LEAST = 16  # tokens, however short
RARE_TOKENS = 32
LONG = 10  # contexts
WILD = 100.0  # a temperature at which nearly every token is as likely as any other

# every field, so that a changed default elsewhere changes nothing here
PLAIN = SamplingSettings(
    temperature=1.0,
    top_k=None,
    top_p=1.0,
    min_p=0.0,
    repetition_penalty=1.0,
    repetition_window=64,
    stop=(),
    valid_utf8=True,
    max_tokens=LEAST,
    seed=1,
)
LIKELIEST = "likeliest token"
STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    LIKELIEST: {"temperature": 0.0},
    f"{LIKELIEST}, repetition penalty 1.3": {"temperature": 0.0, "repetition_penalty": 1.3},
    "temperature 1": {},
    "top-k 40": {"top_k": 40},
    "top-p 0.9": {"top_p": 0.9},
    "top-p 0.9, repetition penalty 1.3": {"top_p": 0.9, "repetition_penalty": 1.3},
}
"""Ways to choose the next token, by what they change in `PLAIN`."""

HOSTILE = {
    "control-characters": ("control characters", "\x00\x01\x07\x08\x1b[2J\x7f\x85 The \r\n"),
    "special-token": ("the special token's name", f"{END_OF_TEXT} and {END_OF_TEXT}"),
    "emoji": ("emoji", "👩‍👩‍👧‍👦 👍🏽 🇺🇳 🫠🫠🫠"),
    "right-to-left": ("right-to-left text", "\u202eהכתב נקרא מימין לשמאל וكذلك العربية"),
    "zero-width": ("invisible characters", "a\u200bb\u200c\u200d\u2060c\ufeff\u00add\u0301\u0301"),
}
FULL, TOO_LONG, RARE = "full", "long", "rare"
"""Names of the other prompts to continue."""


@dataclass(frozen=True)
class StressTexts:
    """Hold held-out text, and what the training text has shown.

    held_out: the tokens of a part that was not trained on (N,); if short, they are read again.
    groups: the number of the group that each of them belongs to (N,): a module, an author, a song.
    train_counts: how often each token occurs in the text that the model was last trained on (V,).
    train_words: the words of all texts that it was trained on, as `behaviour.words` counts them.
    """

    held_out: Integers
    groups: Integers
    train_counts: Integers
    train_words: frozenset[str]


@dataclass(frozen=True)
class StressedModel:
    """Hold one model, its tokenizer, the settings, and the texts."""

    model: GPT
    tokenizer: Tokenizer
    settings: StressSettings
    texts: StressTexts

    @property
    def context_length(self) -> int:
        """Return the most tokens that the model sees."""
        return self.model.settings.context_length

    @property
    def short(self) -> int:
        """Return the length in tokens of texts that are many or take long."""
        return max(LEAST, self.settings.case_tokens // SHORTER)

    def sampling(self, max_tokens: int) -> SamplingSettings:
        """Return the settings of the samples, at another length."""
        return self.settings.sampling.model_copy(update={"max_tokens": max_tokens})

    def plain(self, max_tokens: int, changes: Mapping[str, Any]) -> SamplingSettings:
        """Return settings that draw from unchanged probabilities, but for these changes.

        The seed is the samples' seed.
        """
        fixed = {"max_tokens": max_tokens, "seed": self.settings.sampling.seed}
        return PLAIN.model_copy(update={**fixed, **changes})

    def strategies(self, max_tokens: int) -> dict[str, SamplingSettings]:
        """Return the ways to choose the next token, by name."""
        return {name: self.plain(max_tokens, how) for name, how in STRATEGIES.items()}

    def held(self, n: int) -> Integers:
        """Return the first `n` held-out tokens (n,), repeated if there are fewer."""
        return np.resize(self.texts.held_out[:n], n)

    def read(self, prompt: str) -> list[int]:
        """Return the tokens of a prompt; an empty one begins a document."""
        return self.tokenizer.encode(prompt) or [self.tokenizer.eot]

    def jobs(self, how: SamplingSettings, number: int) -> list[Job]:
        """Return independent texts to write: prompts in turn, each text with its own seed.

        Where the likeliest token is taken, all texts of a prompt are the same, so there is one.
        """
        prompts = [self.read(prompt) for prompt in self.settings.prompts]
        if how.temperature == 0:
            return [(prompt, how) for prompt in prompts[:number]]
        seeds = ((how.seed + index) % (MOST_SEED + 1) for index in range(number))
        return [
            (prompts[index % len(prompts)], how.model_copy(update={"seed": seed}))
            for index, seed in enumerate(seeds)
        ]

    @cached_property
    def by_strategy(self) -> dict[str, list[Writing]]:
        """Continue the settings' prompts, by strategy."""
        number = -(-self.settings.texts // FEWER)
        strategies = self.strategies(self.settings.text_tokens)
        jobs = {name: self.jobs(how, number) for name, how in strategies.items()}
        written = iter(write_all(self.model, self.tokenizer, [*chain.from_iterable(jobs.values())]))
        return {name: [next(written) for _ in own] for name, own in jobs.items()}

    @cached_property
    def continuations(self) -> dict[str, Writing]:
        """Continue the hard prompts, by the name of the prompt."""
        prompts = {
            FULL: self.held(self.context_length).tolist(),
            **{name: self.tokenizer.encode(text) for name, (_, text) in HOSTILE.items()},
            TOO_LONG: self.held(LONG * self.context_length).tolist(),
            RARE: self.rarest.tolist(),
        }
        how = self.sampling(self.settings.case_tokens)
        jobs = [(prompt, how) for prompt in prompts.values()]
        return dict(zip(prompts, write_all(self.model, self.tokenizer, jobs), strict=True))

    @property
    def rarest(self) -> Integers:
        """Return the tokens that training showed least, or never."""
        counts = self.texts.train_counts[: self.tokenizer.eot]
        return np.argsort(counts, kind="stable")[:RARE_TOKENS]
