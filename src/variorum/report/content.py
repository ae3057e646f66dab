"""Define the content of the page: values from results, each with its address.

`stages.report` reads them from the results of one experiment; `page` renders them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from variorum.evaluation.metrics import Kind
from variorum.report.naming import MODELS, Role
from variorum.report.traced import Traced, derived

SECTION_OF = {
    "calibration": "evaluation",
    "context": "evaluation",
    "funnel": "corpora",
    "frequencies": "tokenizer",
    "model": "model",
    "curves": "training",
    "dynamics": "training",
    "embeddings": "inside",
    "attention": "inside",
    "provenance": "provenance",
}
"""The section of each figure; a figure that is not named here is under "Figures"."""


@dataclass(frozen=True)
class Standing:
    """Hold what a model or a baseline needs for a test text.

    who: its name in results. name: its name for people. kind: of the score; only scores of one
    kind compare. interval: of the bits per byte; None inside where there is none. differences: by
    model, its bits per byte less this one's, with an interval; not there where the two do not
    compare.
    """

    who: str
    name: Traced
    kind: Kind
    bits_per_byte: Traced
    interval: Traced
    differences: Mapping[str, Traced]
    key: Traced

    @property
    def model(self) -> str | None:
        """Return the model's name on the page; None of a baseline."""
        return MODELS.get(self.who)


@dataclass(frozen=True)
class Corpus:
    """Hold one corpus: its source, its cleaning, and scores on its test part.

    `steps` are the steps of the cleaning, as `funnel.json` has them, and `splits` the parts, as in
    `splits.json`. `standings` are of models and baselines, on the test part. `note` is a published
    result on the same text to compare with, in one sentence. `facts` are sentences from the source
    about its text. `floor`, where it is known, is the entropy of the text in bits per byte, below
    which no model can get on average.
    """

    role: Role
    title: Traced
    steps: tuple[Traced, ...]
    splits: Traced
    standings: tuple[Standing, ...]
    note: Traced | None = None
    facts: tuple[Traced, ...] = ()
    floor: Traced | None = None
    train_read: Traced | None = None

    def of_kind(self, kind: Kind) -> tuple[Standing, ...]:
        """Return who has a score of one kind."""
        return tuple(each for each in self.standings if each.kind == kind)

    def standing(self, model: str, kind: Kind) -> Standing | None:
        """Return a model's standing, if it was scored."""
        return next((each for each in self.of_kind(kind) if each.model == model), None)


@dataclass(frozen=True)
class Score:
    """Hold one model's score on one corpus's test part: its evaluation's `metrics.json`.

    In bits per byte with the 95 % interval, over groups of documents or blocks of text; accuracy,
    calibration error and memorized spans are shares. `task` is the report's name
    for the evaluation, such as `finetuned_on_base`, from which model and corpus follow.
    """

    model: str
    corpus: Role
    metrics: Traced
    key: Traced
    task: Traced

    def name(self, part: Literal["model", "corpus"]) -> Traced:
        """Return the model or the corpus, as the name of a row."""
        return derived(part, self.task)

    @property
    def bits_per_byte(self) -> Traced:
        """Return the bits per byte."""
        return self.metrics["bits_per_byte"]

    @property
    def interval(self) -> Traced:
        """Return the interval; None inside where the text is of a single part."""
        return self.metrics["interval"]


@dataclass(frozen=True)
class TokenizerFacts:
    """Hold the tokenizer: its size, bytes a token on each test part, and words.

    `words` is what `report.token_words` returns.
    """

    kind: Traced
    vocab_size: Traced
    bytes_per_token: Mapping[str, Traced]
    words: Traced
    key: Traced


@dataclass(frozen=True)
class TrainingRecord:
    """Hold one training: its `metrics.json`, with how far it went and its checkpoint."""

    name: str
    metrics: Traced
    key: Traced


@dataclass(frozen=True)
class Imported:
    """Hold a model that was pretrained elsewhere: its folder and its checksum."""

    path: Traced
    sha256: Traced
    key: Traced


@dataclass(frozen=True)
class Sample:
    """Hold a prompt continued by the pretrained and by the fine-tuned model."""

    prompt: Traced
    before: Traced
    after: Traced | None = None


@dataclass(frozen=True)
class Stress:
    """Hold the stress cases of one model and their settings.

    `cases` are on the implementation, as `cases.json` has them, `behaviour` as `behaviour.json`.
    `task` is what the report calls the result, such as `stress_finetuned`.
    """

    model: str
    cases: Traced
    behaviour: Traced
    settings: Traced
    key: Traced
    task: Traced

    @property
    def name(self) -> Traced:
        """Return the model, as a heading."""
        return derived("model", self.task)

    @property
    def passed(self) -> Traced:
        """Return how many of the cases on the implementation passed."""
        return derived("passed", self.cases)

    @property
    def behaved(self) -> Traced:
        """Return how many of the cases on behaviour passed."""
        return derived("passed", self.behaviour)


@dataclass(frozen=True)
class PageFigure:
    """Hold a figure of the page: a file's SVG text, title and caption."""

    name: str
    title: str
    caption: str
    svg: Traced
    key: Traced


@dataclass(frozen=True)
class Provenance:
    """Hold one result that the page depends on, and the results it was made from.

    `adopted` says how an older result serves in its place, as its manifest has it.
    """

    stage: str
    key: Traced
    upstream: Traced
    adopted: Traced | None = None

    @property
    def adoption(self) -> Traced:
        """Return how an older result serves, in a sentence."""
        if self.adopted is None:
            raise ValueError(f"{self.stage} {self.key.value} was not adopted")
        return derived("adoption", self.adopted)


@dataclass(frozen=True)
class ReportData:
    """Hold everything on the page. `domain` is None where nothing was fine-tuned.

    `architecture` is the `config.json` of the model, and `parameters` their number. `imported`
    describes a pretrained model that was not trained here. `settings` are the results' settings, by
    the page's names for them. `last_test` says how often these models' last test was opened.
    """

    title: Traced
    experiment: Traced
    key: Traced
    command: Traced
    base: Corpus
    domain: Corpus | None
    scores: tuple[Score, ...]
    tokenizer: TokenizerFacts
    architecture: Traced
    parameters: Traced
    trainings: tuple[TrainingRecord, ...]
    samples: tuple[Sample, ...]
    stress: tuple[Stress, ...]
    figures: tuple[PageFigure, ...]
    provenance: tuple[Provenance, ...]
    settings: Mapping[str, Traced] = field(default_factory=dict)
    imported: Imported | None = None
    last_test: Traced | None = None

    @property
    def corpora(self) -> tuple[Corpus, ...]:
        """Return the base corpus, and the domain's where there is one."""
        return (self.base,) if self.domain is None else (self.base, self.domain)

    @property
    def adopted(self) -> frozenset[str]:
        """Return results adopted from older ones: their keys, and stage with key."""
        rows = [row for row in self.provenance if row.adopted is not None]
        return frozenset(
            name for row in rows for name in (row.key.value, f"{row.stage}/{row.key.value}")
        )

    @property
    def on_word(self) -> tuple[Provenance, ...]:
        """Return the adopted results without a proof."""
        return tuple(
            row for row in self.provenance if row.adopted and "because" in row.adopted.value
        )

    def score(self, model: str, corpus: str) -> Score | None:
        """Return the score of a model on a corpus's test part, if it was taken."""
        chosen = (s for s in self.scores if (s.model, s.corpus) == (model, corpus))
        return next(chosen, None)

    def figures_of(self, section: str) -> list[PageFigure]:
        """Return the figures of one section."""
        return [each for each in self.figures if SECTION_OF.get(each.name, "figures") == section]
