"""The report: one HTML page that holds everything it shows and needs no network.

Takes a `ReportData`: values from the results of one experiment, each with where it stands
(`traced`). Gives the page as text: styles and figures inside, no script, light and dark, from a
phone's width up. The template places things; what is said about them (which model won, what was
forgotten, which compressor is ahead) is decided here, in functions that tests can reach. Numbers
are rounded by `numbers`, as everywhere, and marked with the files that they are from.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from markupsafe import Markup

from variorum.report.adoption import MARK
from variorum.report.naming import FINETUNED, PRETRAINED, Role
from variorum.report.rendering import rendered
from variorum.report.traced import WAYS, Traced, as_text, attributes, derived, drawn, lines, number

SECTIONS = {
    "summary": "Summary",
    "samples": "Samples",
    "evaluation": "Evaluation",
    "stress": "Stress tests",
    "corpora": "Corpora",
    "tokenizer": "Tokenizer",
    "model": "Model",
    "training": "Training",
    "inside": "Inside the model",
    "figures": "Figures",
    "provenance": "Provenance",
}
"""What the page consists of, in its order."""

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
class Training:
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
    trainings: tuple[Training, ...]
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


def render(report: ReportData) -> str:
    """The whole page as HTML. Everything from the data is escaped, except the figures' own SVG."""
    filters = {way.replace("-", "_"): partial(_shown, way) for way in WAYS}
    return rendered(
        "report.html.j2",
        {**filters, "source": attributes, "written": as_text, "drawn": drawn, "lines": _lines},
        derived=derived,
        report=report,
        summary=list(summary(report)),
        findings=[*findings(report), *standings(report), *floors(report)],
        flags=list(flags(report)),
        charts=[(corpus, bars(report, corpus)) for corpus in report.corpora],
        titles=SECTIONS,
        empty=_empty(report),
        drawn=_drawn(report),
        commands=commands(report),
        mark=MARK,
    )


def _shown(way: str, traced: Traced, digits: int | None = None) -> Markup:
    return number(traced, way if digits is None else f"{way} {digits}")


def _lines(settings: Traced) -> list[tuple[str, str]]:
    return list(lines(settings.value))


def commands(report: ReportData) -> list[tuple[str, Traced]]:
    """What to type for the page, a part of it, a check of it, and what each does."""
    return [
        (
            "The whole page. Results that are complete are taken as they are; what is missing is "
            "made. On the same platform it comes out the same to the bit.",
            report.command,
        ),
        (
            "One stage, here the evaluations, with what it needs.",
            derived("evaluation-command", report.command),
        ),
        ("What is made from what, drawn by Snakemake.", derived("graph-command", report.command)),
        (
            "Every file held against its hash, up to the sources.",
            derived("verify-command", report.key),
        ),
        (
            "This page made again beside the result and compared to the bit; without its key, "
            "everything that the current experiment stands on.",
            derived("rerun-command", report.key),
        ),
    ]


def _empty(report: ReportData) -> set[str]:
    """Sections that this page has nothing for."""
    optional = {"inside", "figures"}
    return {section for section in optional if not report.figures_of(section)}


# --- what the numbers say -------------------------------------------------------------------


def _bits(traced: Traced) -> Markup:
    return number(traced, "fixed")


def summary(report: ReportData) -> Iterator[Markup]:
    """What was trained, and on what."""
    size = number(report.parameters, "count")
    steps = [number(training.metrics["steps"], "count") for training in report.trainings]
    if report.imported is None:
        begun = Markup("A GPT of {} parameters was trained for {} steps on {}").format(
            size, steps[0], report.base.title
        )
    else:
        begun = Markup("A GPT of {} parameters was imported from {}").format(
            size, report.imported.path
        )
    if report.domain is not None:
        begun += Markup(" and fine-tuned for {} steps on {}").format(steps[-1], report.domain.title)
    yield begun + "."


def findings(report: ReportData) -> Iterator[Markup]:
    """What was learned, in sentences made from the numbers."""
    if report.domain is None:
        score = report.score(PRETRAINED, "base")
        if score:
            yield Markup(
                "The pretrained model needs {} bits per byte for the base test text ({}). No "
                "domain corpus is configured, so nothing was fine-tuned."
            ).format(_bits(score.bits_per_byte), _interval(score))
        return
    for corpus in ("domain", "base"):
        before, after = report.score(PRETRAINED, corpus), report.score(FINETUNED, corpus)
        if before and after:
            yield _change(before, after)


LEARNED = {"domain": "gained", "base": "forgot nothing: it gained"}
UNLEARNED = {"domain": "gained nothing: it lost", "base": "forgot"}


def _change(before: Score, after: Score) -> Markup:
    """What fine-tuning changed on one test text; no gain or loss where the intervals overlap.

    Both models read the same text, so this asks for more than a paired interval would.
    """
    ends = before.bits_per_byte, after.bits_per_byte
    relative = number(derived("change", *ends), "signed-percent 1")
    if before.low.value <= after.high.value and after.low.value <= before.high.value:
        return Markup(
            "On the {} test text, fine-tuning leads from {} to {} bits per byte ({}), no more than "
            "the intervals leave open: before, {}; after, {}."
        ).format(
            after.corpus,
            *map(_bits, ends),
            relative,
            _interval(before),
            _interval(after),
        )
    said = LEARNED if ends[1].value <= ends[0].value else UNLEARNED
    return Markup(
        "On the {} test text, fine-tuning {} {} bits per byte ({}): from {} to {}; after it, {}."
    ).format(
        after.corpus,
        said[after.corpus],
        _bits(derived("distance", *ends)),
        relative,
        *map(_bits, ends),
        _interval(after),
    )


def _drawn(report: ReportData) -> str:
    """What was drawn with replacement for the intervals of each corpus."""
    kinds = {"groups": "whole groups of documents", "blocks": "blocks of neighbouring tokens"}
    drawn = {each.corpus: kinds[each.metrics["interval"]["drawn"].value] for each in report.scores}
    if len(set(drawn.values())) == 1:
        return next(iter(drawn.values()))
    return _listed(f"{kind} ({corpus})" for corpus, kind in drawn.items())


def _interval(score: Score) -> Markup:
    return Markup("{} interval {} to {}").format(
        number(score.confidence, "percent"), _bits(score.low), _bits(score.high)
    )


def standings(report: ReportData) -> Iterator[Markup]:
    """How the last model stands beside the best baseline on the text that it was trained for."""
    corpus = report.corpora[-1]
    score = report.score(PRETRAINED if report.domain is None else FINETUNED, corpus.role)
    if score is None or not corpus.baselines:
        return
    best = min(corpus.baselines, key=lambda baseline: float(baseline.bits_per_byte.value))
    ahead = score.bits_per_byte.value < best.bits_per_byte.value
    yield Markup(
        "Of the baselines on the {} test text, {} is best: {} bits per byte, {} {} than the {} "
        "model."
    ).format(
        corpus.role,
        best.name,
        _bits(best.bits_per_byte),
        _bits(derived("distance", score.bits_per_byte, best.bits_per_byte)),
        "more" if ahead else "fewer",
        score.model,
    )


def floors(report: ReportData) -> Iterator[Markup]:
    """How far each model is above the entropy of a text, where that is known."""
    for corpus in report.corpora:
        for score in report.scores:
            if corpus.floor is None or score.corpus != corpus.role:
                continue
            above = score.bits_per_byte.value >= corpus.floor.value
            yield Markup(
                "On the {} test text, the {} model is {} bits per byte {} the language’s entropy "
                "of {}, which no model can beat on average."
            ).format(
                corpus.role,
                score.model,
                _bits(derived("distance", score.bits_per_byte, corpus.floor)),
                "above" if above else "below (this test text is easier than most)",
                _bits(corpus.floor),
            )


def flags(report: ReportData) -> Iterator[Markup]:
    """Every place where a baseline needs fewer bits than a model, said as plainly as a win."""
    for corpus in report.corpora:
        for score in report.scores:
            if score.corpus != corpus.role:
                continue
            ahead = [
                baseline
                for baseline in corpus.baselines
                if baseline.bits_per_byte.value <= score.bits_per_byte.value
            ]
            if ahead:
                needs = [Markup("{} {}").format(b.name, _bits(b.bits_per_byte)) for b in ahead]
                needs[0] = Markup("{} needs {}").format(
                    ahead[0].name, _bits(ahead[0].bits_per_byte)
                )
                yield Markup(
                    "The {} model loses on the {} test text: it needs {} bits per byte. Given the "
                    "{} corpus’s training text{}, {}."
                ).format(
                    score.model,
                    corpus.role,
                    _bits(score.bits_per_byte),
                    corpus.role,
                    _unseen(report, score),
                    _listed(needs),
                )


def _unseen(report: ReportData, score: Score) -> str:
    """What is to be said where a model may not have seen the training text of that corpus."""
    if score.corpus == "domain" and score.model == FINETUNED:
        return ""
    if report.imported is not None:
        return ", which this model may not have seen"
    return "" if score.corpus == "base" else ", which this model has not seen"


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return Markup(" and ").join(filter(None, (Markup(", ").join(others), last)))


@dataclass(frozen=True)
class Bar:
    """One bar of the chart on top: `share` of the longest bar's length, from 0 to 1.

    `interval` are the ends of its 95 % interval on the same scale; None where there is none.
    """

    label: Traced
    kind: Literal["pretrained", "finetuned", "baseline"]
    bits_per_byte: Traced
    share: Traced
    best: bool
    interval: Traced | None = None


def bars(report: ReportData, corpus: Corpus) -> list[Bar]:
    """Models and baselines on one corpus's test part, on a scale that both corpora share."""
    longest = max(
        [score.high for score in report.scores]
        + [each.bits_per_byte for one in report.corpora for each in one.baselines],
        key=lambda traced: float(traced.value),
    )
    own = [score for score in report.scores if score.corpus == corpus.role]
    least = min(
        [score.bits_per_byte.value for score in own]
        + [each.bits_per_byte.value for each in corpus.baselines]
    )
    return [
        Bar(
            score.name("model"),
            "finetuned" if score.model == FINETUNED else "pretrained",
            score.bits_per_byte,
            derived("ratio", score.bits_per_byte, longest),
            score.bits_per_byte.value == least,
            derived("ratios", score.low, score.high, longest),
        )
        for score in own
    ] + [
        Bar(
            each.name,
            "baseline",
            each.bits_per_byte,
            derived("ratio", each.bits_per_byte, longest),
            each.bits_per_byte.value == least,
        )
        for each in corpus.baselines
    ]
