"""Lay an answered ablation out in tables, which Markdown and HTML show alike.

What decides comes first and is narrow: the difference and its verdict. Means, costs and keys are
tables of their own, folded where people need them less.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from variorum.evaluation.metrics import KINDS
from variorum.report.ablation.question import Question
from variorum.report.ablation.sentences import DIGITS, PERCENT, heading
from variorum.report.ablation.table import AblationTable, Section, TableRow, TunedChoice
from variorum.report.claims import word
from variorum.report.numbers import count, fixed, scientific, signed, significant
from variorum.report.statistics import IntervalEstimate

HERE = "working tree"
"""The code of variants that name none."""

NOTHING = "nothing"
"""What a variant changes that takes all settings of the experiment."""


@dataclass(frozen=True)
class Sheet:
    """Hold a table as people see it; `numeric` columns are aligned to the right.

    folded: whether it is shown on demand.
    """

    heading: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    folded: bool = False


def sheets(table: AblationTable) -> list[Sheet]:
    """Return all tables, in their order."""
    found = [sheet for section in table.sections for sheet in _of_section(table, section)]
    found += [sheet for sheet in (baselines(table), variants(table), tried(table)) if sheet]
    return found


def _of_section(table: AblationTable, section: Section) -> Iterator[Sheet]:
    matrix = _matrix(table, section)
    if matrix:
        yield matrix
    yield _verdicts(table, section, folded=matrix is not None)
    yield _means(table, section)


def _title(table: AblationTable, section: Section) -> str:
    text = heading(table, section)
    return text[0].upper() + text[1:]


# Differences


def _verdicts(table: AblationTable, section: Section, *, folded: bool) -> Sheet:
    tuned = (str(table.question.tuned).rsplit(".", 1)[-1],) if section.tuned else ()
    several = ", all together" if table.comparisons > 1 else ""
    columns = (
        "variant",
        f"difference to {table.question.baseline}",
        "verdict",
        f"{PERCENT} % interval{several}",
        *tuned,
    )
    rows = tuple(
        (
            f"{row.variant}{row.mark}",
            "" if row.difference is None else signed(row.difference.mean, DIGITS),
            verdict_of(table, row),
            interval(row.difference, signed),
            *(_tuned(table, row) for _ in tuned),
        )
        for row in section.rows
    )
    title = _title(table, section) + (": every variant" if folded else "")
    return Sheet(title, columns, (False, True, False, True, *map(bool, tuned)), rows, folded)


def verdict_of(table: AblationTable, row: TableRow) -> str:
    """Return a row's verdict in words, or what it is instead."""
    if row.verdict is None:
        return "baseline"
    if row.same_runs:
        return "the same runs"
    return word(row.verdict, table.question.metric) + (f": {row.why}" if row.why else "")


def _tuned(table: AblationTable, row: TableRow) -> str:
    edge = any(choice.at_edge for choice in table.choices if choice.variant == row.variant)
    return ("" if row.tuned is None else str(row.tuned)) + (" (edge)" if edge else "")


def interval(value: IntervalEstimate | None, write: Callable[[float, int], str] = fixed) -> str:
    """Return the interval as people read it: `1.6012 to 1.6120`; "" where there is none."""
    if value is None or value.low is None or value.high is None:
        return ""
    return f"{write(value.low, DIGITS)} to {write(value.high, DIGITS)}"


def _matrix(table: AblationTable, section: Section) -> Sheet | None:
    """Return the differences of a grid, its last setting across.

    None without a grid, or where a value of it is a group of settings and so heads no column.
    """
    *down, across = table.question.axes or ("",)
    if not down:
        return None
    cells: dict[tuple[str, ...], dict[str, TableRow]] = {}
    for row in section.rows:
        if table.question.is_of_grid(row.variant):
            changes = table.question.changes[row.variant]
            place = tuple(changes[axis] for axis in down)
            cells.setdefault(place, {})[changes[across]] = row
    if not cells:
        return None
    values = list(dict.fromkeys(value for line in cells.values() for value in line))
    *names, last = [axis.rsplit(".", 1)[-1] for axis in (*down, across)]
    lines = tuple(
        (*place, *(_cell(table, line[value]) if value in line else "" for value in values))
        for place, line in cells.items()
    )
    baseline = table.question.baseline
    title = f"{_title(table, section)}: difference to {baseline}, across by {last}"
    return Sheet(title, (*names, *values), (False,) * (len(names) + len(values)), lines)


def _cell(table: AblationTable, row: TableRow) -> str:
    difference = "" if row.difference is None else signed(row.difference.mean, DIGITS)
    return f"{difference} {verdict_of(table, row)}".strip() + row.mark


# Means


def _means(table: AblationTable, section: Section) -> Sheet:
    text = section.text
    together = f"{PERCENT} % interval, all together"
    to_text = (f"difference to {text.title}", together, "verdict") if text else ()
    columns = (
        "variant",
        f"mean {table.question.metric.label}",
        f"{PERCENT} % interval",
        "sd",
        "seeds",
        *to_text,
    )
    numeric = (False, *[True] * 4, *(column != "verdict" for column in to_text))
    rows = tuple(
        (
            row.variant,
            fixed(row.value.mean, DIGITS),
            interval(row.value),
            "" if row.value.sd is None else fixed(row.value.sd, DIGITS),
            str(row.value.n),
            *(_to_text(table, row) if text else ()),
        )
        for row in section.rows
    )
    return Sheet(f"{_title(table, section)}: means over the seeds", columns, numeric, rows, True)


def _to_text(table: AblationTable, row: TableRow) -> tuple[str, str, str]:
    if row.to_text is None or row.to_text_verdict is None:
        return "", "", ""
    difference = signed(row.to_text.mean, DIGITS)
    said = word(row.to_text_verdict, table.question.metric)
    return difference, interval(row.to_text, signed), said


def baselines(table: AblationTable) -> Sheet | None:
    """Return the bits that baselines of both kinds need; None without baselines."""
    if not table.baselines:
        return None
    found: dict[tuple[str, str], dict[str, str]] = {}
    for each in table.baselines:
        order = "" if each.order is None else f" (order {each.order})"
        needed = f"{fixed(each.bits_per_byte, DIGITS)}{order}"
        found.setdefault((each.corpus, each.label), {})[each.kind] = needed
    rows = tuple(
        (name, *(kinds.get(kind, "") for kind in KINDS), corpus)
        for (corpus, name), kinds in found.items()
    )
    columns = ("baseline", *KINDS, "text")
    title = "Baselines of the test texts, in bits per byte"
    return Sheet(title, columns, (False, True, True, False), rows)


# What the variants are


def variants(table: AblationTable) -> Sheet:
    """Return what each variant changes, its size, and what its judged training took."""
    sizes = ("parameters", "steps", "batch", "context", "tokens", "passes", "FLOPs")
    columns = ("variant", "changes", *sizes)
    rows = tuple(_variant(table.question, row) for row in table.sections[0].rows)
    numeric = (False, False, *[True] * len(sizes))
    return Sheet("What the variants change and take", columns, numeric, rows, True)


def _variant(question: Question, row: TableRow) -> tuple[str, ...]:
    """Return a variant's cells; what a training elsewhere took is unknown, and empty."""
    run = row.runs[0]
    changes = question.changes.get(row.variant, {})
    taken = (run.steps, run.batch_size, run.context_length, row.tokens)
    return (
        row.variant,
        ", ".join(f"{setting}: {value}" for setting, value in changes.items()) or NOTHING,
        count(row.parameters),
        *(count(each) if each else "" for each in taken),
        "" if run.passes is None else significant(run.passes),
        scientific(row.flops) if row.flops else "",
    )


def tried(table: AblationTable) -> Sheet | None:
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
    return Sheet(
        f"Mean loss on val (nats per token) by {table.question.tuned}",
        columns,
        (False, *[True] * (len(columns) - 1)),
        rows,
        True,
    )


def _loss(choice: TunedChoice, value: float) -> str:
    if value not in choice.tried:
        return ""
    loss = fixed(choice.tried[value], DIGITS)
    return f"{loss} (lowest)" if value == choice.best else loss


def keys(table: AblationTable) -> Sheet:
    """Return the key of every run's model."""
    lines: dict[str, list[str]] = {}
    for run in table.runs:
        name = run.variant if run.tuned is None else f"{run.variant}@{run.tuned}"
        lines.setdefault(name, []).append(f"{run.seed}: `{run.key}`{run.mark}")
    rows = tuple((name, ", ".join(keys)) for name, keys in lines.items())
    return Sheet("Keys", ("variant", "keys of the runs (seed: key)"), (False, False), rows, True)


def codes(table: AblationTable) -> Sheet | None:
    """Return the code of each variant and its change; None for one common code."""
    question = table.question
    if not (question.codes or question.pinned):
        return None
    rows = tuple(
        (name, _code(question, name), _change(question, name)) for name in question.variants
    )
    columns = ("variant", "code", f"against {question.baseline}")
    return Sheet("Code of the variants", columns, (False,) * 3, rows)


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
