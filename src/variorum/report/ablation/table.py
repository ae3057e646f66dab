"""Compute the table that answers an ablation: every variant, its scatter, its verdict.

Takes the runs. Returns an `AblationTable`: for each corpus, and for the tuned and the untuned runs
apart, every variant's mean and spread over the seeds, the interval of the mean, the difference to
the baseline paired by seed with its interval, what that shows, and the difference to the strongest
compressor or n-gram of the text. Nothing in it varies when the same runs are tabulated again: no
times, paths or hosts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from variorum.base.errors import VariorumError
from variorum.report.ablation.question import Question
from variorum.report.ablation.runs import Run
from variorum.report.ablation.text_baselines import TextBaseline, lowest_static
from variorum.report.adopted import MARK
from variorum.report.claims import Verdict, verdict
from variorum.report.statistics import (
    IntervalEstimate,
    estimate,
    paired_difference,
    simultaneous,
)

NO_PAIRS = "no seed in common"
ONE_RUN = "one run"
FEW_SEEDS = "too few seeds for an interval that holds at any look"


@dataclass(frozen=True)
class TableRow:
    """Hold one variant's runs by seed, its difference to the baseline, and what that shows.

    difference: None for the baseline itself, and without pairs. verdict: None for the baseline.
    why: the reason, if nothing can be told. same_runs: whether they are the baseline's runs: the
    two differ in nothing that decides any. to_text: the difference to the static baseline of the
    text that needs the fewest bits; None where there is none, or in untuned rows beside tuned ones.
    """

    variant: str
    value: IntervalEstimate
    difference: IntervalEstimate | None
    verdict: Verdict | None
    runs: tuple[Run, ...]
    why: str = ""
    same_runs: bool = False
    to_text: IntervalEstimate | None = None

    @property
    def to_text_verdict(self) -> Verdict | None:
        """Return what the difference to the text's baseline shows."""
        return None if self.to_text is None else verdict(self.to_text.low, self.to_text.high)

    @property
    def to_text_why(self) -> str:
        """Return why nothing can be told of the difference to the text's baseline."""
        return _why(self.to_text)

    @property
    def parameters(self) -> int:
        """Return the parameters of one model."""
        return self.runs[0].parameters

    @property
    def tokens(self) -> int:
        """Return the mean number of tokens that one judged training saw."""
        return round(fmean(run.tokens for run in self.runs))

    @property
    def flops(self) -> int | None:
        """Return the operations of one judged training; None where they are not counted."""
        return self.runs[0].flops

    @property
    def tuned(self) -> float | None:
        """Return the value that was chosen, if this is a tuned row."""
        return self.runs[0].tuned

    @property
    def mark(self) -> str:
        """Return the mark to show behind the variant if a result was adopted."""
        return MARK if any(run.adopted for run in self.runs) else ""


@dataclass(frozen=True)
class Section:
    """Hold the variants on one corpus; `tuned` where each has its chosen value.

    text: the static baseline of the text that its rows are compared with; None without any.
    """

    corpus: str
    tuned: bool
    rows: tuple[TableRow, ...]
    text: TextBaseline | None = None

    @property
    def compared(self) -> list[TableRow]:
        """Return the rows that are compared with the baseline."""
        return [row for row in self.rows if row.verdict is not None]


@dataclass(frozen=True)
class TunedChoice:
    """Hold the tuned values of one variant with their mean validation losses.

    tried: the mean validation loss in nats per token, by value.
    own: the mean loss with the variant's own value; None where there is no such run.
    """

    variant: str
    tried: Mapping[float, float]
    own: float | None

    @property
    def best(self) -> float:
        """Return the value with the lowest validation loss; the smallest of equally good ones."""
        return min(self.tried, key=lambda value: (self.tried[value], value))

    @property
    def at_edge(self) -> bool:
        """Return whether the best value is an extreme: a better may lie beyond."""
        return self.best in (min(self.tried), max(self.tried))


@dataclass(frozen=True)
class AblationTable:
    """Hold an answered question, which `render` and `html` render.

    comparisons: how many differences between variants it shows, whose intervals hold together.
    baselines: of the texts that the variants are scored on.
    """

    question: Question
    sections: tuple[Section, ...]
    choices: tuple[TunedChoice, ...]
    runs: tuple[Run, ...]
    comparisons: int
    baselines: tuple[TextBaseline, ...] = ()

    @property
    def adopted(self) -> list[str]:
        """Return the sentences on results adopted from older ones, each once."""
        return list(dict.fromkeys(line for run in self.runs for line in run.adopted))


def ablation_table(
    runs: Iterable[Run], question: Question, baselines: Sequence[TextBaseline] = ()
) -> AblationTable:
    """Summarize the runs of an ablation, given in any order.

    baselines: of the texts that the runs were scored on, in the metric's unit.

    Raises:
        VariorumError: if a variant has no run, or one seed of it twice.
    """
    place = {variant: number for number, variant in enumerate(question.variants)}
    ordered = sorted(
        runs,
        key=lambda run: (
            place.get(run.variant, len(place)),
            run.tuned is not None,
            run.tuned or 0.0,
            run.seed,
        ),
    )
    _refuse_missing_and_repeated(ordered, question)
    choices = tuple(_choices(ordered, question))
    untried = dict.fromkeys(question.variants)
    kinds = [_by_variant(ordered, untried)]
    if choices:
        chosen = untried | {choice.variant: choice.best for choice in choices}
        kinds.insert(0, _by_variant(ordered, chosen))
    corpora = list(ordered[0].scores)
    comparisons = sum((len(kind) - 1) * len(corpora) for kind in kinds)
    summary = _Summary(
        question,
        simultaneous(comparisons),
        simultaneous(len(question.variants) * len(corpora)),
    )
    sections = tuple(
        summary.section(
            corpus,
            runs,
            tuned=bool(choices) and number == 0,
            text=lowest_static(baselines, corpus) if number == 0 else None,
        )
        for corpus in corpora
        for number, runs in enumerate(kinds)
    )
    return AblationTable(question, sections, choices, tuple(ordered), comparisons, tuple(baselines))


def _refuse_missing_and_repeated(runs: Sequence[Run], question: Question) -> None:
    again = f"finish the ablation first: {question.command}"
    seen: dict[tuple[str, float | None, int], Run] = {}
    for run in runs:
        place = (run.variant, run.tuned, run.seed)
        if place in seen:
            raise VariorumError(
                f"table: variant '{run.variant}' has seed {run.seed} twice, as {seen[place].key} "
                f"and {run.key}; tabulate one of them"
            )
        seen[place] = run
    with_runs = {run.variant for run in runs}
    if question.baseline not in with_runs:
        raise VariorumError(f"table: the baseline '{question.baseline}' has no runs; {again}")
    if missing := [variant for variant in question.variants if variant not in with_runs]:
        raise VariorumError(f"table: no runs of {', '.join(missing)}; {again}")


def _choices(runs: Sequence[Run], question: Question) -> Iterator[TunedChoice]:
    """Yield the values tried for each variant that was tuned."""
    for variant in question.variants:
        losses: dict[float | None, list[float]] = {}
        for run in runs:
            if run.variant == variant and run.val_loss is not None:
                losses.setdefault(run.tuned, []).append(run.val_loss)
        means = {value: fmean(found) for value, found in losses.items()}
        tried = {value: mean for value, mean in means.items() if value is not None}
        if tried:
            yield TunedChoice(variant, tried, means.get(None))


def _by_variant(
    runs: Sequence[Run], chosen: Mapping[str, float | None]
) -> dict[str, dict[int, Run]]:
    """Return the runs of each variant with its chosen value, by seed."""
    return {
        variant: {run.seed: run for run in runs if (run.variant, run.tuned) == (variant, value)}
        for variant, value in chosen.items()
    }


def _distinct(runs: Mapping[int, Run]) -> dict[int, Run]:
    """Merge runs of one and the same model: an imported model knows no seeds."""
    same = len({run.key for run in runs.values()}) == 1
    return dict(sorted(runs.items())[: 1 if same else None])


@dataclass(frozen=True)
class _Summary:
    """Summarize runs of a question.

    together: the confidence of each difference between variants, so that all hold together.
    to_texts: the same of each difference to a text's baseline.
    """

    question: Question
    together: float
    to_texts: float

    def section(
        self,
        corpus: str,
        by_variant: Mapping[str, Mapping[int, Run]],
        *,
        tuned: bool,
        text: TextBaseline | None,
    ) -> Section:
        rows = tuple(self._row(corpus, name, by_variant, text) for name in by_variant)
        return Section(corpus, tuned, rows, text)

    def _row(
        self,
        corpus: str,
        variant: str,
        by_variant: Mapping[str, Mapping[int, Run]],
        text: TextBaseline | None,
    ) -> TableRow:
        question, looks = self.question, self.question.looks
        runs, judged = by_variant[variant], by_variant[question.baseline]
        distinct = _distinct(runs)
        scores = list(_scores(distinct, corpus).values())
        row = TableRow(
            variant=variant,
            value=estimate(scores, looks=looks),
            difference=None,
            verdict=None,
            runs=tuple(distinct.values()),
            to_text=estimate([score - text.bits_per_byte for score in scores], self.to_texts, looks)
            if text
            else None,
        )
        if variant == question.baseline:
            return row
        found = self._difference(corpus, runs, judged)
        return replace(
            row,
            difference=found,
            verdict=verdict(found.low, found.high, question.margin) if found else Verdict.UNTOLD,
            why=_why(found),
            same_runs=all(seed in judged and runs[seed].key == judged[seed].key for seed in runs),
        )

    def _difference(
        self, corpus: str, runs: Mapping[int, Run], judged: Mapping[int, Run]
    ) -> IntervalEstimate | None:
        """Return the difference to the baseline, seed by seed.

        Where one side is a single model, each seed of the other is compared with it; where both
        are, there is one pair.
        """
        if len(_distinct(runs)) == len(_distinct(judged)) == 1:
            runs, judged = _distinct(runs), _distinct(judged)
        pairs = _scores(runs, corpus), _scores(judged, corpus)
        return paired_difference(*pairs, self.together, self.question.looks)


def _scores(runs: Mapping[int, Run], corpus: str) -> dict[int, float]:
    return {seed: run.scores[corpus] for seed, run in runs.items()}


def _why(difference: IntervalEstimate | None) -> str:
    """Return why a difference shows nothing; "" if it can show something."""
    if difference is None:
        return NO_PAIRS
    if difference.n == 1:
        return ONE_RUN
    return FEW_SEEDS if difference.low is None else ""
