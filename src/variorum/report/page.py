"""The report: one HTML page that holds everything it shows and needs no network.

Takes a `ReportData`, plain data from the results of one experiment. Gives the page as text: styles
and figures inside, no script, light and dark, from a phone's width up. The template places things;
what is said about them (which model won, what was forgotten, which compressor is ahead) is decided
here, in functions that tests can reach. Numbers are rounded by `numbers`, as everywhere.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from variorum.evaluation.verdicts import Case
from variorum.report import numbers
from variorum.report.adoption import MARK, Adoption

TEMPLATES = Path(__file__).parent / "templates"
PRETRAINED, FINETUNED = "pretrained", "fine-tuned"

Role = Literal["base", "domain"]


@dataclass(frozen=True)
class Dropped:
    """A document that a step dropped: its name, how it begins, and why, where reasons differ."""

    document: str
    excerpt: str
    reason: str = ""


@dataclass(frozen=True)
class FunnelStep:
    """One step of a corpus's cleaning: what it kept, what it dropped, and examples of that."""

    name: str
    documents_kept: int
    documents_dropped: int
    bytes_kept: int
    bytes_dropped: int
    explanation: str = ""
    examples: tuple[Dropped, ...] = ()


@dataclass(frozen=True)
class Split:
    """One part of a corpus. `overlap` is the share of its 50-character spans that train holds."""

    name: str
    documents: int
    n_bytes: int
    overlap: float | None = None


@dataclass(frozen=True)
class Corpus:
    """One corpus: what it is, how it was cleaned, and what baselines need for its test part.

    `baselines` are bits per byte by name: compressors and an n-gram model. `note` is a published
    result on the same text to compare with, in one sentence. `facts` are sentences that the source
    tells of its text. `floor`, where it is known, is the entropy of the text in bits per byte,
    below which no model can get on average.
    """

    role: Role
    title: str
    funnel: tuple[FunnelStep, ...]
    splits: tuple[Split, ...]
    baselines: Mapping[str, float]
    note: str | None = None
    facts: tuple[str, ...] = ()
    floor: float | None = None


@dataclass(frozen=True)
class Score:
    """What one model needs for the test part of one corpus.

    `low` and `high` are the ends of the 95 % interval of its bits per byte, for which `drawn` were
    drawn: groups of documents, or blocks of tokens. Accuracy, calibration error and memorized spans
    are shares.
    """

    model: str
    corpus: Role
    bits_per_byte: float
    nats_per_token: float
    perplexity: float
    tokens: int
    n_bytes: int
    key: str
    low: float
    high: float
    top_1: float
    top_5: float
    calibration_error: float
    memorized: float
    memorized_test: float
    drawn: str = "groups"


@dataclass(frozen=True)
class TokenizerFacts:
    """The tokenizer: its size, bytes a token on each corpus's test part, and its longest tokens."""

    kind: str
    vocab_size: int
    bytes_per_token: Mapping[str, float]
    key: str
    longest: tuple[str, ...] = ()


@dataclass(frozen=True)
class Training:
    """One training: how far it went, and the checkpoint that it kept."""

    name: str
    parameters: int
    steps: int
    tokens: int
    kept_step: int
    val_loss: float
    key: str


@dataclass(frozen=True)
class Imported:
    """A model that was pretrained elsewhere: the folder it came from and its checksum."""

    path: str
    sha256: str
    parameters: int
    key: str


@dataclass(frozen=True)
class Sample:
    """The same prompt continued by the pretrained and by the fine-tuned model."""

    prompt: str
    before: str
    after: str | None = None


@dataclass(frozen=True)
class Stress:
    """The stress cases of one model."""

    model: str
    key: str
    cases: tuple[Case, ...]

    @property
    def passed(self) -> int:
        """How many of the cases passed."""
        return sum(case.passed for case in self.cases)


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page: SVG text as `figures` makes it, and what it shows."""

    name: str
    title: str
    caption: str
    svg: str
    key: str


@dataclass(frozen=True)
class Provenance:
    """One result that the page stands on, and the results that it was made from."""

    stage: str
    key: str
    upstream: tuple[tuple[str, str], ...]
    adopted: Adoption | None = None


@dataclass(frozen=True)
class ReportData:
    """Everything that the page says. `domain` is None where nothing was fine-tuned.

    `imported` tells of a pretrained model that was not trained here.
    """

    title: str
    experiment: str
    key: str
    command: str
    base: Corpus
    domain: Corpus | None
    scores: tuple[Score, ...]
    tokenizer: TokenizerFacts
    trainings: tuple[Training, ...]
    samples: tuple[Sample, ...]
    stress: tuple[Stress, ...]
    figures: tuple[PageFigure, ...]
    provenance: tuple[Provenance, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    imported: Imported | None = None

    @property
    def corpora(self) -> tuple[Corpus, ...]:
        """The base corpus, and the domain's where there is one."""
        return (self.base,) if self.domain is None else (self.base, self.domain)

    @property
    def adopted(self) -> dict[str, Adoption]:
        """Results that were adopted from older ones, by their keys and by stage and key."""
        rows = [(row, row.adopted) for row in self.provenance if row.adopted is not None]
        return {
            name: adopted for row, adopted in rows for name in (row.key, f"{row.stage}/{row.key}")
        }

    @property
    def on_word(self) -> tuple[Provenance, ...]:
        """Those of them that no proof stands behind."""
        return tuple(row for row in self.provenance if row.adopted and row.adopted.word)

    def score(self, model: str, corpus: str) -> Score | None:
        """The score of that model on that corpus's test part, if it was taken."""
        chosen = (s for s in self.scores if (s.model, s.corpus) == (model, corpus))
        return next(chosen, None)


def render(report: ReportData) -> str:
    """The whole page as HTML. Everything from the data is escaped, except the figures' own SVG."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "count": numbers.count,
        "fixed": numbers.fixed,
        "inline": inline_svg,
        "percent": numbers.percent,
        "significant": numbers.significant,
        "size": numbers.size,
    }
    return environment.get_template("report.html.j2").render(
        report=report,
        css=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        findings=[*findings(report), *floors(report)],
        flags=list(flags(report)),
        charts=[(corpus, bars(report, corpus)) for corpus in report.corpora],
        sections=setting_sections(report.settings),
        drawn=_drawn(report),
        mark=MARK,
    )


# --- what the numbers say -------------------------------------------------------------------


def findings(report: ReportData) -> Iterator[str]:
    """What was learned, in sentences made from the numbers."""
    if report.domain is None:
        score = report.score(PRETRAINED, "base")
        if score:
            yield (
                f"The pretrained model needs {numbers.fixed(score.bits_per_byte)} bits per byte "
                f"for the base test text ({_interval(score)}). No domain corpus is configured, so "
                "nothing was fine-tuned."
            )
        return
    for corpus, gained, lost in (
        ("domain", "gained", "gained nothing: it lost"),
        ("base", "forgot nothing: it gained", "forgot"),
    ):
        before, after = report.score(PRETRAINED, corpus), report.score(FINETUNED, corpus)
        if before and after:
            change = after.bits_per_byte - before.bits_per_byte
            yield (
                f"On the {corpus} test text, fine-tuning {gained if change <= 0 else lost} "
                f"{numbers.fixed(abs(change))} bits per byte "
                f"({numbers.signed(100 * change / before.bits_per_byte, 1)}{numbers.NO_BREAK}%): "
                f"from {numbers.fixed(before.bits_per_byte)} to "
                f"{numbers.fixed(after.bits_per_byte)}, {_interval(after)}."
            )


def _drawn(report: ReportData) -> str:
    """What was drawn with replacement for the intervals of each corpus."""
    kinds = {"groups": "whole groups of documents", "blocks": "blocks of neighbouring tokens"}
    drawn = {score.corpus: kinds[score.drawn] for score in report.scores}
    if len(set(drawn.values())) == 1:
        return next(iter(drawn.values()))
    return _listed([f"{kind} ({corpus})" for corpus, kind in drawn.items()])


def _interval(score: Score) -> str:
    low, high = numbers.fixed(score.low), numbers.fixed(score.high)
    return f"95{numbers.NO_BREAK}% interval {low} to {high}"


def floors(report: ReportData) -> Iterator[str]:
    """How far each model is above the entropy of a text, where that is known."""
    for corpus in report.corpora:
        for score in report.scores:
            if corpus.floor is None or score.corpus != corpus.role:
                continue
            above = score.bits_per_byte - corpus.floor
            side = "above" if above >= 0 else "below (this test text is easier than most)"
            yield (
                f"On the {corpus.role} test text, the {score.model} model is "
                f"{numbers.fixed(abs(above))} bits per byte {side} the language’s entropy of "
                f"{numbers.fixed(corpus.floor)}, which no model can beat on average."
            )


def flags(report: ReportData) -> Iterator[str]:
    """Every place where a baseline needs fewer bits than a model, said as plainly as a win."""
    for corpus in report.corpora:
        for score in report.scores:
            if score.corpus != corpus.role:
                continue
            ahead = {
                name: numbers.fixed(bits)
                for name, bits in corpus.baselines.items()
                if bits <= score.bits_per_byte
            }
            if ahead:
                seen = corpus.role == "base" or score.model == FINETUNED
                unseen = "" if seen else ", which this model has not seen"
                needs = [f"{name} {bits}" for name, bits in ahead.items()]
                needs[0] = needs[0].replace(" ", " needs ")
                yield (
                    f"The {score.model} model loses on the {corpus.role} test text: it needs "
                    f"{numbers.fixed(score.bits_per_byte)} bits per byte. Given the {corpus.role} "
                    f"corpus’s training text{unseen}, {_listed(needs)}."
                )


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


@dataclass(frozen=True)
class Bar:
    """One bar of the chart on top: `share` of the longest bar's length, from 0 to 1.

    `low` and `high` are the ends of its 95 % interval on the same scale; None where there is none.
    """

    label: str
    kind: Literal["pretrained", "finetuned", "baseline"]
    bits_per_byte: float
    share: float
    best: bool
    low: float | None = None
    high: float | None = None


def bars(report: ReportData, corpus: Corpus) -> list[Bar]:
    """Models and baselines on one corpus's test part, on a scale that both corpora share."""
    longest = max(
        [score.high for score in report.scores]
        + [bits for each in report.corpora for bits in each.baselines.values()]
    )
    own = [score for score in report.scores if score.corpus == corpus.role]
    least = min([score.bits_per_byte for score in own] + list(corpus.baselines.values()))
    return [
        Bar(
            score.model,
            "finetuned" if score.model == FINETUNED else "pretrained",
            score.bits_per_byte,
            score.bits_per_byte / longest,
            score.bits_per_byte == least,
            score.low / longest,
            score.high / longest,
        )
        for score in own
    ] + [
        Bar(name, "baseline", bits, bits / longest, bits == least)
        for name, bits in corpus.baselines.items()
    ]


# --- how things are written -----------------------------------------------------------------


def setting_sections(settings: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Nested settings as sections of (dotted name, value) rows; single values come first."""
    single = [(name, _written(value)) for name, value in settings.items() if not _nested(value)]
    sections = [("experiment", single)] if single else []
    return sections + [
        (name, list(_flat(value, ""))) for name, value in settings.items() if _nested(value)
    ]


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping)


def _flat(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if _nested(value):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _written(value)


def _written(value: Any) -> str:
    """A setting as YAML would have it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(repr(item) if isinstance(item, str) else _written(item) for item in value)
    return str(value)


def inline_svg(svg: str, name: str, label: str) -> Markup:
    """SVG text of a figure, made fit to stand inside a page beside others.

    Takes off the XML head, makes the ids the figure's own, lets the page decide the width, and
    names the figure to those who cannot see it.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'xlink:href="#([^"]+)"', rf'xlink:href="#{name}-\1"', body)
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return Markup("{}{}>{}").format(
        Markup(head), Markup(' role="img" aria-label="{}"').format(label), Markup(rest)
    )
