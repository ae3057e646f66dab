"""The table that answers an ablation: every variant, how it scattered, and what that shows.

Takes one row per run. Gives an `AblationTable`, whose Markdown and CSV say the same from one
source: mean and spread over the seeds, the interval of the mean, the paired difference to the
baseline with its interval and what difference could have been shown at all, and the keys that the
numbers stand on. Nothing in it varies when the
same runs are tabulated again: no times, no paths, no hosts.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from variorum.errors import VariorumError
from variorum.report.adoption import MARK
from variorum.report.numbers import count, fixed, signed
from variorum.report.statistics import (
    CONFIDENCE,
    POWER,
    Estimate,
    detectable,
    estimate,
    paired_difference,
    simultaneous,
)

DIGITS = 4  # of people's table: a seed's scatter stands in the third or fourth decimal
CSV_DIGITS = 6


@dataclass(frozen=True)
class Run:
    """One run of an ablation: a variant with one seed, what it scored, and where that stands.

    adopted: what is to be said of those of its results that were adopted from older ones.
    """

    variant: str
    seed: int
    value: float
    key: str
    parameters: int
    adopted: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        """Stands behind the run where it is shown, if something was adopted."""
        return MARK if self.adopted else ""


@dataclass(frozen=True)
class Row:
    """One variant over its seeds, by seed. `difference` is to the baseline, whose own is None.

    detectable: the smallest true difference that these runs would show four times in five.
    """

    variant: str
    parameters: int
    value: Estimate
    difference: Estimate | None
    detectable: float | None
    verdict: str
    runs: tuple[Run, ...]

    @property
    def mark(self) -> str:
        """Stands behind the variant where it is shown, if something of it was adopted."""
        return max((run.mark for run in self.runs), default="")


@dataclass(frozen=True)
class AblationTable:
    """An answered question. Render it with `markdown` or `csv_text`."""

    title: str
    question: str
    metric: str
    baseline: str
    command: str
    rows: tuple[Row, ...]

    @property
    def adopted(self) -> list[str]:
        """What is to be said of results that were adopted from older ones, each once."""
        return list(dict.fromkeys(line for row in self.rows for line in _adopted(row)))


def ablation_table(
    runs: Iterable[Run],
    *,
    title: str,
    question: str,
    metric: str,
    variants: Sequence[str],
    baseline: str,
    command: str,
    lower_is_better: bool = True,
) -> AblationTable:
    """Summarize the runs of an ablation.

    Args:
        runs: every run, in any order.
        title: one line above the table.
        question: what the table is to answer.
        metric: what `Run.value` measures, with its unit, such as `test bits per byte`.
        variants: their names, in the order of the table.
        baseline: the variant that the others are compared with.
        command: the command that makes these runs and this table again.
        lower_is_better: whether a smaller value is the better one.

    Raises:
        VariorumError: if a variant has no run, or one seed of it twice.
    """
    by_variant: dict[str, dict[int, Run]] = {variant: {} for variant in variants}
    for run in runs:
        seeds = by_variant.setdefault(run.variant, {})
        if run.seed in seeds:
            raise VariorumError(
                f"table: variant '{run.variant}' has seed {run.seed} twice, as "
                f"{seeds[run.seed].key} and {run.key}; tabulate one of them"
            )
        seeds[run.seed] = run
    if missing := [variant for variant, seeds in by_variant.items() if not seeds]:
        raise VariorumError(
            f"table: no runs of {', '.join(missing)}; finish the ablation first: {command}"
        )
    if baseline not in by_variant:
        raise VariorumError(
            f"table: the baseline '{baseline}' has no runs; finish the ablation first: {command}"
        )
    confidence = simultaneous(len(by_variant) - 1)
    rows = tuple(
        _row(
            variant,
            seeds,
            None if variant == baseline else by_variant[baseline],
            confidence,
            lower_is_better,
        )
        for variant, seeds in by_variant.items()
    )
    return AblationTable(title, question, metric, baseline, command, rows)


def _row(
    variant: str,
    seeds: dict[int, Run],
    baseline: dict[int, Run] | None,
    confidence: float,
    lower_is_better: bool,
) -> Row:
    """`confidence` is that of the interval of the difference."""
    values = {seed: run.value for seed, run in sorted(seeds.items())}
    difference = None
    verdict = "baseline"
    if baseline is not None:
        others = {seed: run.value for seed, run in baseline.items()}
        difference = paired_difference(values, others, confidence)
        verdict = _verdict(difference, lower_is_better)
    return Row(
        variant=variant,
        parameters=next(iter(seeds.values())).parameters,
        value=estimate(list(values.values())),
        difference=difference,
        detectable=None if difference is None else detectable(difference, confidence),
        verdict=verdict,
        runs=tuple(seeds[seed] for seed in values),
    )


def _verdict(difference: Estimate | None, lower_is_better: bool) -> str:
    if difference is None:
        return "no seed in common"
    if difference.n == 1:
        return "one seed: cannot tell"
    if not difference.shows_difference:
        return "no difference shown"
    return "better" if (difference.mean < 0) == lower_is_better else "worse"


def markdown(table: AblationTable) -> str:
    """The table as a page of GitHub-flavoured Markdown, with how to read it and make it again."""
    percent = round(100 * CONFIDENCE)
    head = [
        "variant",
        "parameters",
        "seeds",
        f"mean {table.metric}",
        "sd",
        f"{percent} % interval",
        f"difference to {table.baseline}",
        f"{percent} % interval",
        f"shown at {round(100 * POWER)} % power",
        "verdict",
    ]
    lines = [f"# {table.title}", "", table.question, ""]
    lines += [_line(head), _line(["---"] + ["---:"] * 8 + ["---"])]
    lines += [_line(_cells(row)) for row in table.rows]
    lines += [
        "",
        f"Mean, sample standard deviation and Student's t interval over the seeds. Differences are "
        f"taken seed by seed against `{table.baseline}`; where their interval includes 0, the runs "
        f"show no difference.{_together(len(table.rows) - 1)} The number before the verdict is the "
        "smallest true difference that so many seeds with such a scatter show four times in five.",
        "",
        "Run again:",
        "",
        f"    {table.command}",
        "",
        "| variant | keys of the runs (seed: key) |",
        "| --- | --- |",
    ]
    lines += [
        _line([row.variant, ", ".join(f"{run.seed}: `{run.key}`{run.mark}" for run in row.runs)])
        for row in table.rows
    ]
    if table.adopted:
        lines += [
            "",
            f"{MARK} An edit of code gave these runs new keys, under which older results serve:",
            "",
            *(f"- {line}" for line in table.adopted),
        ]
    return "\n".join(lines) + "\n"


def _together(comparisons: int) -> str:
    if comparisons < 2:
        return ""
    return (
        f" The intervals of the {comparisons} differences hold together: each is widened for all "
        "of them (Bonferroni)."
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cells(row: Row) -> list[str]:
    difference = row.difference
    return [
        f"{row.variant}{row.mark}",
        count(row.parameters),
        str(row.value.n),
        fixed(row.value.mean, DIGITS),
        "" if row.value.sd is None else fixed(row.value.sd, DIGITS),
        interval(row.value),
        "" if difference is None else signed(difference.mean, DIGITS),
        "" if difference is None else interval(difference, signed),
        "" if row.detectable is None else fixed(row.detectable, DIGITS),
        row.verdict,
    ]


def interval(value: Estimate, write: Callable[[float, int], str] = fixed) -> str:
    """The interval as people read it: `1.6012 to 1.6120`; nothing for a single value."""
    if value.low is None or value.high is None:
        return ""
    return f"{write(value.low, DIGITS)} to {write(value.high, DIGITS)}"


CSV_COLUMNS = (
    "variant",
    "parameters",
    "seeds",
    "mean",
    "sd",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "detectable",
    "verdict",
    "keys",
    "metric",
    "baseline",
    "question",
    "command",
)


def csv_text(table: AblationTable) -> str:
    """The table as CSV, one line a variant; empty where there is no such number.

    The column `adopted` is there only where something was.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*CSV_COLUMNS, *(["adopted"] if table.adopted else [])])
    for row in table.rows:
        value, difference = row.value, row.difference
        numbers = [value.mean, value.sd, value.low, value.high]
        numbers += [difference.mean, difference.low, difference.high] if difference else [None] * 3
        numbers.append(row.detectable)
        writer.writerow(
            [row.variant, row.parameters, value.n]
            + ["" if number is None else _plain(number) for number in numbers]
            + [row.verdict, " ".join(f"{run.seed}:{run.key}" for run in row.runs)]
            + [table.metric, table.baseline, table.question, table.command]
            + (["; ".join(_adopted(row))] if table.adopted else [])
        )
    return text.getvalue()


def _adopted(row: Row) -> list[str]:
    return list(dict.fromkeys(line for run in row.runs for line in run.adopted))


def _plain(number: float) -> str:
    return f"{round(number, CSV_DIGITS) + 0.0:.{CSV_DIGITS}f}"
