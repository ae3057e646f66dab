"""What the page says, before it is placed: values from results, each with where it stands.

`stages.report` reads them from the results of one experiment; `page` renders them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from variorum.report.naming import Role
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
"""Where each figure stands; one that is not named here stands under "Figures"."""


@dataclass(frozen=True)
class Baseline:
    """What a compressor, or an n-gram model, needs for a test part."""

    name: Traced
    bits_per_byte: Traced


@dataclass(frozen=True)
class Corpus:
    """One corpus: what it is, how it was cleaned, and what baselines need for its test part.

    `steps` are those of the cleaning, as `funnel.json` has them, and `splits` the parts, as in
    `splits.json`. `note` is a published result on the same text to compare with, in one sentence.
    `facts` are sentences that the source tells of its text. `floor`, where it is known, is the
    entropy of the text in bits per byte, below which no model can get on average.
    """

    role: Role
    title: Traced
    steps: tuple[Traced, ...]
    splits: Traced
    baselines: tuple[Baseline, ...]
    note: Traced | None = None
    facts: tuple[Traced, ...] = ()
    floor: Traced | None = None


@dataclass(frozen=True)
class Score:
    """What one model needs for the test part of one corpus: the `metrics.json` of its evaluation.

    In bits per byte with the 95 % interval, for which groups of documents or blocks of tokens were
    drawn; accuracy, calibration error and memorized spans are shares. `task` is what the report
    calls the evaluation, such as `finetuned_on_base`, and says whose it is.
    """

    model: str
    corpus: Role
    metrics: Traced
    key: Traced
    task: Traced

    def name(self, part: Literal["model", "corpus"]) -> Traced:
        """The model or the corpus, as the name of a row."""
        return derived(part, self.task)

    @property
    def bits_per_byte(self) -> Traced:
        """What it needs."""
        return self.metrics["bits_per_byte"]

    @property
    def low(self) -> Traced:
        """The lower end of the interval."""
        return self.metrics["interval"]["low"]

    @property
    def high(self) -> Traced:
        """The upper end of the interval."""
        return self.metrics["interval"]["high"]

    @property
    def confidence(self) -> Traced:
        """How sure the interval is."""
        return self.metrics["interval"]["confidence"]


@dataclass(frozen=True)
class TokenizerFacts:
    """The tokenizer: its size, bytes a token on each corpus's test part, and what it did to words.

    `words` is what `report.words` tells.
    """

    kind: Traced
    vocab_size: Traced
    bytes_per_token: Mapping[str, Traced]
    words: Traced
    key: Traced


@dataclass(frozen=True)
class TrainingRecord:
    """One training: the `metrics.json` of how far it went, and of the checkpoint that it kept."""

    name: str
    metrics: Traced
    key: Traced


@dataclass(frozen=True)
class Imported:
    """A model that was pretrained elsewhere: the folder it came from and its checksum."""

    path: Traced
    sha256: Traced
    key: Traced


@dataclass(frozen=True)
class Sample:
    """The same prompt continued by the pretrained and by the fine-tuned model."""

    prompt: Traced
    before: Traced
    after: Traced | None = None


@dataclass(frozen=True)
class Stress:
    """The stress cases of one model, as `cases.json` has them, and their settings.

    `task` is what the report calls the result, such as `stress_finetuned`.
    """

    model: str
    cases: Traced
    settings: Traced
    key: Traced
    task: Traced

    @property
    def name(self) -> Traced:
        """The model, as a heading."""
        return derived("model", self.task)

    @property
    def passed(self) -> Traced:
        """How many of the cases passed."""
        return derived("passed", self.cases)


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page: the SVG text of a file, and what it shows."""

    name: str
    title: str
    caption: str
    svg: Traced
    key: Traced


@dataclass(frozen=True)
class Provenance:
    """One result that the page stands on, and the results that it was made from.

    `adopted` tells how an older result serves in its place, as its manifest has it.
    """

    stage: str
    key: Traced
    upstream: Traced
    adopted: Traced | None = None

    @property
    def adoption(self) -> Traced:
        """That in a sentence."""
        if self.adopted is None:
            raise ValueError(f"{self.stage} {self.key.value} was not adopted")
        return derived("adoption", self.adopted)


@dataclass(frozen=True)
class ReportData:
    """Everything that the page says. `domain` is None where nothing was fine-tuned.

    `architecture` is the `config.json` of the model, and `parameters` their number. `imported`
    tells of a pretrained model that was not trained here. `settings` are those of the results by
    the names that the page has for them.
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

    @property
    def corpora(self) -> tuple[Corpus, ...]:
        """The base corpus, and the domain's where there is one."""
        return (self.base,) if self.domain is None else (self.base, self.domain)

    @property
    def adopted(self) -> frozenset[str]:
        """Results that were adopted from older ones, by their keys and by stage and key."""
        rows = [row for row in self.provenance if row.adopted is not None]
        return frozenset(
            name for row in rows for name in (row.key.value, f"{row.stage}/{row.key.value}")
        )

    @property
    def on_word(self) -> tuple[Provenance, ...]:
        """Those of them that no proof stands behind."""
        return tuple(
            row for row in self.provenance if row.adopted and "because" in row.adopted.value
        )

    def score(self, model: str, corpus: str) -> Score | None:
        """The score of that model on that corpus's test part, if it was taken."""
        chosen = (s for s in self.scores if (s.model, s.corpus) == (model, corpus))
        return next(chosen, None)

    def figures_of(self, section: str) -> list[PageFigure]:
        """The figures of one section."""
        return [each for each in self.figures if SECTION_OF.get(each.name, "figures") == section]
