"""Compute the table that answers an ablation: every variant, its scatter, its verdict.

Takes the runs. Returns an `AblationTable`: for each corpus, and for the tuned and the untuned runs
apart, every variant's mean and spread over the seeds, the interval of the mean, the difference to
the baseline paired by seed with its interval, the difference that could have been shown at all, and
a verdict. Nothing in it varies when the same runs are tabulated again: no times, paths or hosts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from variorum.base.errors import VariorumError
from variorum.report.ablation.runs import Run
from variorum.report.adopted import MARK
from variorum.report.statistics import (
    IntervalEstimate,
    detectable,
    estimate,
    paired_difference,
    simultaneous,
)

BASELINE = "baseline"
BETTER = "better"
WORSE = "worse"
NOT_SHOWN = "no difference shown"
ONE_RUN = "one run: cannot tell"
NO_PAIRS = "no seed in common"


@dataclass(frozen=True)
class Question:
    """Hold what was asked.

    metric: what a score measures, with its unit, such as `bits per byte`. variants: their names, in
    the order of the table. tuned: the setting that is tuned, if one is. codes: the name of a
    variant's code, where the present code does not run it. edited: whether a variant's code differs
    from the baseline's, where it could. pinned: the names under which the models of variants are
    pinned.
    """

    title: str
    question: str
    metric: str
    variants: tuple[str, ...]
    baseline: str
    command: str
    lower_is_better: bool = True
    tuned: str | None = None
    codes: Mapping[str, str] = field(default_factory=dict)
    edited: Mapping[str, bool] = field(default_factory=dict)
    pinned: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TableRow:
    """Hold one variant's runs by seed. `difference` is to the baseline, whose own is None.

    detectable: the smallest true difference that these runs would show four times in five.
    same_runs: whether they are the baseline's runs: the two differ in nothing that decides any.
    """

    variant: str
    value: IntervalEstimate
    difference: IntervalEstimate | None
    detectable: float | None
    verdict: str
    runs: tuple[Run, ...]
    same_runs: bool = False

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
    """Hold the variants on one corpus; `tuned` where each has its chosen value."""

    corpus: str
    tuned: bool
    rows: tuple[TableRow, ...]


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

    comparisons: how many differences it shows, whose intervals hold together.
    """

    question: Question
    sections: tuple[Section, ...]
    choices: tuple[TunedChoice, ...]
    runs: tuple[Run, ...]
    comparisons: int

    @property
    def adopted(self) -> list[str]:
        """Return the sentences on results adopted from older ones, each once."""
        return list(dict.fromkeys(line for run in self.runs for line in run.adopted))


def ablation_table(runs: Iterable[Run], question: Question) -> AblationTable:
    """Summarize the runs of an ablation, given in any order.

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
    own = _by_variant(ordered, untried)
    kinds = [own]
    if choices:
        chosen = untried | {choice.variant: choice.best for choice in choices}
        kinds.insert(0, _by_variant(ordered, chosen))
    corpora = list(ordered[0].scores)
    comparisons = sum((len(kind) - 1) * len(corpora) for kind in kinds)
    confidence = simultaneous(comparisons)
    sections = tuple(
        Section(corpus, kind is not own, tuple(_rows(kind, corpus, question, confidence)))
        for corpus in corpora
        for kind in kinds
    )
    return AblationTable(question, sections, choices, tuple(ordered), comparisons)


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


def _rows(
    by_variant: Mapping[str, Mapping[int, Run]],
    corpus: str,
    question: Question,
    confidence: float,
) -> Iterator[TableRow]:
    judged = by_variant[question.baseline]
    for variant, runs in by_variant.items():
        distinct = _distinct(runs)
        is_baseline = variant == question.baseline
        difference = None if is_baseline else _difference(runs, judged, corpus, confidence)
        yield TableRow(
            variant=variant,
            value=estimate(list(_scores(distinct, corpus).values())),
            difference=difference,
            detectable=None if difference is None else detectable(difference, confidence),
            verdict=BASELINE if is_baseline else _verdict(difference, question.lower_is_better),
            runs=tuple(distinct.values()),
            same_runs=not is_baseline
            and all(seed in judged and runs[seed].key == judged[seed].key for seed in runs),
        )


def _scores(runs: Mapping[int, Run], corpus: str) -> dict[int, float]:
    return {seed: run.scores[corpus] for seed, run in runs.items()}


def _difference(
    runs: Mapping[int, Run], judged: Mapping[int, Run], corpus: str, confidence: float
) -> IntervalEstimate | None:
    """Return the difference to the baseline, seed by seed.

    Where one side is a single model, each seed of the other is compared with it; where both are,
    there is one pair.
    """
    if len(_distinct(runs)) == len(_distinct(judged)) == 1:
        runs, judged = _distinct(runs), _distinct(judged)
    return paired_difference(_scores(runs, corpus), _scores(judged, corpus), confidence)


def _verdict(difference: IntervalEstimate | None, lower_is_better: bool) -> str:
    if difference is None:
        return NO_PAIRS
    if difference.n == 1:
        return ONE_RUN
    if not difference.shows_difference:
        return NOT_SHOWN
    return BETTER if (difference.mean < 0) == lower_is_better else WORSE
