"""Render an answered ablation in words: headings, cells, sentences; as Markdown and CSV.

Markdown and HTML show the same cells, CSV the same numbers with more digits.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from variorum.report.ablation.table import (
    BETTER,
    NO_PAIRS,
    NOT_SHOWN,
    ONE_RUN,
    WORSE,
    AblationTable,
    Question,
    Section,
    TableRow,
    TunedChoice,
)
from variorum.report.adopted import MARK
from variorum.report.numbers import count, fixed, scientific, signed
from variorum.report.statistics import CONFIDENCE, POWER, IntervalEstimate

HERE = "working tree"
"""The code of variants that name none."""

DIGITS = 4  # of people's table: a seed's scatter shows in the third or fourth decimal
CSV_DIGITS = 6
PERCENT = round(100 * CONFIDENCE)
FILES = (
    "[runs.csv](runs.csv) holds every run, [costs.csv](costs.csv) how long each took and where, "
    "[manifest.json](manifest.json) what all of it was made from."
)


@dataclass(frozen=True)
class Grid:
    """Hold a table as people see it; `numeric` columns are aligned to the right."""

    heading: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


def grids(table: AblationTable) -> list[Grid]:
    """Return the table of each section."""
    return [_grid(table, section) for section in table.sections]


def _grid(table: AblationTable, section: Section) -> Grid:
    columns = [
        "variant",
        *([str(table.question.tuned).rsplit(".", 1)[-1]] if section.tuned else []),
        f"mean {table.question.metric}",
        f"{PERCENT} % interval",
        f"difference to {table.question.baseline}",
        f"{PERCENT} % interval" + (", all together" if table.comparisons > 1 else ""),
        "verdict",
        f"shown at {round(100 * POWER)} % power",
        "sd",
        "seeds",
        "parameters",
        "tokens",
        "FLOPs",
    ]
    numeric = tuple(column not in ("variant", "verdict") for column in columns)
    rows = tuple(tuple(_cells(table, section, row)) for row in section.rows)
    return Grid(heading(table, section), tuple(columns), numeric, rows)


def heading(table: AblationTable, section: Section) -> str:
    """Return a section's heading, such as `base test text, tuned`."""
    kind = {True: ", tuned", False: ", untuned"}[section.tuned] if table.choices else ""
    return f"{section.corpus} test text{kind}"


def _cells(table: AblationTable, section: Section, row: TableRow) -> Iterator[str]:
    difference = row.difference
    yield f"{row.variant}{row.mark}"
    if section.tuned:
        edge = any(choice.at_edge for choice in table.choices if choice.variant == row.variant)
        yield ("" if row.tuned is None else str(row.tuned)) + (" (edge)" if edge else "")
    yield fixed(row.value.mean, DIGITS)
    yield interval(row.value)
    yield "" if difference is None else signed(difference.mean, DIGITS)
    yield "" if difference is None else interval(difference, signed)
    yield row.verdict
    yield "" if row.detectable is None else fixed(row.detectable, DIGITS)
    yield "" if row.value.sd is None else fixed(row.value.sd, DIGITS)
    yield str(row.value.n)
    yield count(row.parameters)
    yield count(row.tokens)
    yield "" if row.flops is None else scientific(row.flops)


def interval(value: IntervalEstimate, write: Callable[[float, int], str] = fixed) -> str:
    """Return the interval as people read it: `1.6012 to 1.6120`; "" for a single value."""
    if value.low is None or value.high is None:
        return ""
    return f"{write(value.low, DIGITS)} to {write(value.high, DIGITS)}"


# Sentences


def finding(table: AblationTable, section: Section) -> str:
    """Return what one section shows, in a sentence."""
    baseline = table.question.baseline
    parts = []
    for verdict, words in (
        (BETTER, f"better than {baseline}"),
        (WORSE, f"worse than {baseline}"),
        (NOT_SHOWN, "no difference shown"),
        (ONE_RUN, "one run, so nothing is shown"),
        (NO_PAIRS, f"no seed in common with {baseline}"),
    ):
        names = [_with_difference(row) for row in section.rows if row.verdict == verdict]
        if names:
            parts.append(f"{words}: {', '.join(names)}")
    return f"On the {heading(table, section)}, {'; '.join(parts)}."


def _with_difference(row: TableRow) -> str:
    if row.same_runs:
        return f"{row.variant} (the same runs)"
    known = row.difference is not None and row.verdict in (BETTER, WORSE, NOT_SHOWN)
    return f"{row.variant} ({signed(row.difference.mean, DIGITS)})" if known else row.variant  # type: ignore[union-attr]


def findings(table: AblationTable) -> list[str]:
    """Return each section's finding, and where tuning met the end of its values."""
    return [finding(table, section) for section in table.sections] + [
        f"The best {table.question.tuned} of {choice.variant}, {choice.best}, is the "
        f"{'largest' if choice.best == max(choice.tried) else 'smallest'} that was tried: a better "
        "one may lie beyond."
        for choice in table.choices
        if choice.at_edge
    ]


def how_to_read(table: AblationTable) -> str:
    """Return what the columns mean."""
    together = (
        f" The intervals of the {table.comparisons} differences hold together: each is widened for "
        "all of them (Bonferroni)."
        if table.comparisons > 1
        else ""
    )
    tuned = (
        f" Tuned: each variant has the {table.question.tuned} with the lowest mean loss on val; "
        "untuned: its own."
        if table.choices
        else ""
    )
    uncounted = (
        "; those of models that other code defines are not counted"
        if any(run.flops is None for run in table.runs)
        else ""
    )
    return (
        "Mean, sample standard deviation and Student's t interval over the seeds. Differences are "
        f"taken seed by seed against `{table.question.baseline}`; where their interval includes 0, "
        f"the runs show no difference.{together} “Shown at 80 % power” is the smallest "
        "true difference that so many seeds with such a scatter show four times in five. Tokens "
        "and FLOPs are those of one judged training; products of matrices are counted, forward and "
        f"backward{uncounted}.{tuned}"
    )


def tried(table: AblationTable) -> Grid | None:
    """Return the mean validation loss of every tuned value; None without tuning."""
    if not table.choices:
        return None
    values = sorted({value for choice in table.choices for value in choice.tried})
    rows = tuple(
        (
            choice.variant,
            *(_loss(choice, value) for value in values),
            "" if choice.own is None else fixed(choice.own, DIGITS),
        )
        for choice in table.choices
    )
    columns = ("variant", *map(str, values), "its own")
    return Grid(
        f"mean loss on val (nats per token) by {table.question.tuned}",
        columns,
        (False, *[True] * (len(columns) - 1)),
        rows,
    )


def _loss(choice: TunedChoice, value: float) -> str:
    if value not in choice.tried:
        return ""
    loss = fixed(choice.tried[value], DIGITS)
    return f"{loss} (best)" if value == choice.best else loss


def keys(table: AblationTable) -> Grid:
    """Return the key of every run's model."""
    lines: dict[str, list[str]] = {}
    for run in table.runs:
        name = run.variant if run.tuned is None else f"{run.variant}@{run.tuned}"
        lines.setdefault(name, []).append(f"{run.seed}: `{run.key}`{run.mark}")
    rows = tuple((name, ", ".join(keys)) for name, keys in lines.items())
    return Grid("", ("variant", "keys of the runs (seed: key)"), (False, False), rows)


def codes(table: AblationTable) -> Grid | None:
    """Return the code of each variant and its change; None for one common code."""
    question = table.question
    if not (question.codes or question.pinned):
        return None
    rows = tuple(
        (name, _code(question, name), _change(question, name)) for name in question.variants
    )
    return Grid("", ("variant", "code", f"against {question.baseline}"), (False,) * 3, rows)


def _code(question: Question, variant: str) -> str:
    if variant in question.pinned:
        return f"pinned as `{question.pinned[variant]}`"
    if variant in question.codes:
        return f"[`{question.codes[variant]}`](codes.csv)"
    return HERE


def _change(question: Question, variant: str) -> str:
    """Return what is known of a variant's code against the baseline's.

    It is "" where either is pinned.
    """
    if variant == question.baseline or {variant, question.baseline} & question.pinned.keys():
        return ""
    if question.edited.get(variant):
        return f"[{variant}.diff]({quote(variant)}.diff): what its code changes"
    return "the same in all that it reaches"


# Markdown


def markdown(table: AblationTable, figures: Sequence[tuple[str, str]] = ()) -> str:
    """Return the table as GitHub-flavoured Markdown, with how to read and repeat it.

    `figures` are (file, caption) of the drawings beside it.
    """
    question = table.question
    several = len(table.sections) > 1
    lines = [f"# {question.title}", "", question.question, ""]
    lines += [f"- {sentence}" for sentence in findings(table)] + [""]
    for grid in grids(table):
        lines += [f"## {grid.heading.capitalize()}", ""] if several else []
        lines += [*_markdown_of(grid), ""]
    if trials := tried(table):
        lines += [f"## {trials.heading.capitalize()}", "", *_markdown_of(trials), ""]
    lines += [how_to_read(table), ""]
    for file, caption in figures:
        lines += [f"![{caption}]({file})", ""]
    lines += ["Run again:", "", f"    {question.command}", "", *_markdown_of(keys(table)), ""]
    if ran := codes(table):
        lines += [*_markdown_of(ran), ""]
    lines += [FILES]
    if table.adopted:
        lines += [
            "",
            f"{MARK} An edit of code gave these runs new keys, under which older results serve:",
            "",
            *(f"- {line}" for line in table.adopted),
        ]
    return "\n".join(lines) + "\n"


def _markdown_of(grid: Grid) -> list[str]:
    rule = ["---:" if numeric else "---" for numeric in grid.numeric]
    return [_line(grid.columns), _line(rule), *map(_line, grid.rows)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


# CSV

CSV_COLUMNS = (
    "corpus",
    "tuned",
    "variant",
    "value_of_tuned",
    "parameters",
    "tokens",
    "flops",
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
    "adopted",
)


def csv_text(table: AblationTable) -> str:
    """Return the table as CSV, one line a variant and section.

    A cell is empty where there is no such number.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for section in table.sections:
        for row in section.rows:
            writer.writerow(_csv_line(table, section, row))
    return text.getvalue()


def _csv_line(table: AblationTable, section: Section, row: TableRow) -> list[object]:
    value, difference, question = row.value, row.difference, table.question
    numbers = [value.mean, value.sd, value.low, value.high]
    numbers += [difference.mean, difference.low, difference.high] if difference else [None] * 3
    numbers.append(row.detectable)
    adopted = dict.fromkeys(line for run in row.runs for line in run.adopted)
    return [
        section.corpus,
        str(section.tuned).lower(),
        row.variant,
        "" if row.tuned is None else row.tuned,
        row.parameters,
        row.tokens,
        "" if row.flops is None else row.flops,
        value.n,
        *("" if number is None else _plain(number) for number in numbers),
        row.verdict,
        " ".join(f"{run.seed}:{run.key}" for run in row.runs),
        question.metric,
        question.baseline,
        question.question,
        question.command,
        "; ".join(adopted),
    ]


def _plain(number: float) -> str:
    return f"{round(number, CSV_DIGITS) + 0.0:.{CSV_DIGITS}f}"
