"""Hold a model with its controls and human text, and measure all of them alike."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from variorum.base.errors import VariorumError
from variorum.config.evaluation_settings import SamplingSettings
from variorum.evaluation.stress.behaviour.controls import random_model, shuffled_model
from variorum.evaluation.stress.behaviour.estimates import (
    Values,
    difference_of,
    halves_by,
    mean_of,
    means_by,
    spread,
    units_of,
)
from variorum.evaluation.stress.behaviour.outcome import (
    HUMAN,
    MODEL,
    RANDOM,
    SHUFFLED,
    Found,
)
from variorum.evaluation.stress.subject import StressedModel
from variorum.evaluation.stress.writing import Writing, attempt, write_all
from variorum.model.gpt import GPT

Kind = TypeVar("Kind")

HALVES = "halves of human text"

MOST_HUMAN_TEXTS = 256

Measured = Mapping[str, Values | None]
"""Values of independent units (U,), by who was measured; None where that ended with an error."""


@dataclass(frozen=True)
class Panel:
    """Hold the model with its settings and texts, and what all cases on behaviour share."""

    subject: StressedModel

    @cached_property
    def models(self) -> dict[str, GPT]:
        """Return the model and its controls."""
        model = self.subject.model
        return {MODEL: model, RANDOM: random_model(model), SHUFFLED: shuffled_model(model)}

    def of_models(
        self,
        kinds: Iterable[Kind],
        measure: Callable[[Kind, GPT], Values],
        judged: Collection[Kind],
    ) -> tuple[dict[Kind, Measured], str]:
        """Measure the model in each kind, and the controls in the judged ones.

        Returns the values by kind, and the model's first error.
        """
        found: dict[Kind, Measured] = {}
        problem = ""
        for kind in kinds:
            models = self.models if kind in judged else {MODEL: self.models[MODEL]}
            own = {who: attempt(partial(measure, kind, model)) for who, model in models.items()}
            found[kind] = {who: values for who, (values, _) in own.items()}
            problem = problem or own[MODEL][1]
        return found, problem

    def write(self, who: str, how: SamplingSettings) -> list[Writing]:
        """Return independent texts of one of the models.

        Raises:
            VariorumError: if one of them ended with an error.
        """
        subject = self.subject
        jobs = subject.jobs(how, subject.settings.texts)
        written = write_all(self.models[who], subject.tokenizer, jobs)
        if problem := next((each.problem for each in written if each.problem), ""):
            raise VariorumError(problem.strip())
        return written

    def texts(self, how: SamplingSettings, writers: Iterable[str]) -> "WrittenTexts":
        """Return the texts of each of these models; one's error is not another's."""
        found = {who: attempt(partial(self.write, who, how)) for who in writers}
        return WrittenTexts({who: own for who, (own, _) in found.items()}, found[MODEL][1])

    @cached_property
    def human(self) -> tuple[list[list[int]], npt.NDArray[np.int64]]:
        """Return texts of people, as long as the models' texts, and the unit of each."""
        held, length = self.subject.texts, self.subject.settings.text_tokens
        number = len(held.held_out) // length
        starts = np.arange(number) * length
        units = units_of(held.groups[starts])
        chosen = spread(units, MOST_HUMAN_TEXTS)
        texts = [held.held_out[start : start + length].tolist() for start in starts[chosen]]
        return texts, units[chosen]

    def of_texts(
        self,
        texts: "WrittenTexts",
        measure: Callable[[list[int]], float],
        is_defined: Callable[[list[int]], bool] = lambda _: True,
    ) -> Measured:
        """Measure each text; the units are models' texts, and groups of human text.

        `HALVES` are the differences between two halves of the human texts of each group. Texts of
        which the measure is not defined are left out; who has no other is not measured.
        """
        human = [pair for pair in zip(*self.human, strict=True) if is_defined(pair[0])]
        found: dict[str, Values | None] = {HUMAN: None, HALVES: None}
        if human:
            values = np.array([measure(each) for each, _ in human])
            units = np.array([unit for _, unit in human])
            found |= {HUMAN: means_by(units, values), HALVES: halves_by(units, values)}
        for who, own in texts.by.items():
            written = [measure(each.tokens) for each in own or () if is_defined(each.tokens)]
            found[who] = np.array(written) if written else None
        return found


@dataclass(frozen=True)
class WrittenTexts:
    """Hold what was written, by who wrote it.

    None where that ended with an error; `problem` is the model's.
    """

    by: Mapping[str, list[Writing] | None]
    problem: str

    @property
    def of_model(self) -> list[Writing]:
        """Return the model's own texts; none where they ended with an error."""
        return self.by[MODEL] or []

    @property
    def drawn(self) -> str:
        """Return the SHA-256 of all tokens."""
        written = [[each.tokens for each in own or ()] for own in self.by.values()]
        return hashlib.sha256(str(written).encode()).hexdigest()


def means(measured: Measured) -> Found:
    """Return the mean of each with its interval."""
    return {
        who: None if own is None else mean_of(own) for who, own in measured.items() if who != HALVES
    }


def beyond(measured: Measured, other: str) -> Found:
    """Return by how much each lies above one of them, which was measured independently.

    Human text lies above itself by the difference of its halves.
    """
    against = measured[other]
    found = {
        who: None if own is None or against is None else difference_of(own, against)
        for who, own in measured.items()
        if who != HALVES
    }
    halves = measured[HALVES]
    if other == HUMAN and halves is not None:
        found[HUMAN] = mean_of(halves)
    return found


def minus(first: Measured, second: Measured) -> dict[str, Values | None]:
    """Return differences within units, of each model that both have."""
    return {
        who: None if own is None or (other := second[who]) is None else own - other
        for who, own in first.items()
        if who in second
    }
