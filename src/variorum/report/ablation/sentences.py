"""Say what an answered ablation shows, what it compared, and how to read it."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from variorum.report.ablation.runs import Run
from variorum.report.ablation.table import AblationTable, Section, TableRow, TunedChoice
from variorum.report.ablation.text_baselines import TextBaseline
from variorum.report.claims import Verdict, claim, clauses, legend
from variorum.report.numbers import count, fixed, scientific, signed, significant, size
from variorum.report.phrases import listed
from variorum.report.statistics import CONFIDENCE, IntervalEstimate

Value = TypeVar("Value", int, float)

DIGITS = 4  # of people's table: a seed's scatter shows in the third or fourth decimal
MOST_NAMED = 6
"""Variants that a sentence names; of more it gives their number and the range."""

PERCENT = round(100 * CONFIDENCE)
LEAST_CHANGE = 0.01
"""Share by which passes over the text have to differ for a remark."""


def heading(table: AblationTable, section: Section) -> str:
    """Return a section's heading, such as `base test text, tuned`."""
    kind = {True: ", tuned", False: ", untuned"}[section.tuned] if table.choices else ""
    return f"{section.corpus} test text{kind}"


def findings(table: AblationTable) -> list[str]:
    """Return what each section shows, what its text's baseline needs, and open ends of tuning."""
    return [
        *(finding(table, section) for section in table.sections),
        *(text_finding(table, each, each.text) for each in table.sections if each.text),
        *(_at_edge(table, choice) for choice in table.choices if choice.at_edge),
    ]


def finding(table: AblationTable, section: Section) -> str:
    """Return what one section shows, in a sentence."""
    question = table.question
    rows = section.compared
    if len(rows) == 1 and not rows[0].same_runs:
        row = rows[0]
        said = claim(
            row.variant,
            question.baseline,
            row.verdict or Verdict.UNTOLD,
            _numbers(row.difference, question.margin).__getitem__,
            metric=question.metric,
            why=row.why,
        )
        return f"On the {heading(table, section)}, {said}."
    different = [row for row in rows if not row.same_runs]
    same = ", ".join(row.variant for row in rows if row.same_runs)
    found = clauses(
        question.baseline,
        [(row, row.verdict) for row in different if row.verdict],
        lambda those: _listed([(row.variant, row.difference, row.why) for row in those], rows),
        question.metric,
    )
    if same:
        found = "; ".join(filter(None, [found, f"the same runs as {question.baseline}: {same}"]))
    if len(rows) > MOST_NAMED:
        in_grid = all(question.is_of_grid(row.variant) for row in rows)
        of = f" of {_axes(table)}" if in_grid else ""
        return f"Of {len(rows)} variants{of} on the {heading(table, section)}, {found}."
    return f"On the {heading(table, section)}, {found}."


def _axes(table: AblationTable) -> str:
    return listed(axis.rsplit(".", 1)[-1] for axis in table.question.axes)


def _numbers(found: IntervalEstimate | None, margin: float | None) -> Mapping[str, str]:
    """Return the numbers of a claim, as text."""
    ends = [found.low, found.high] if found else [None, None]
    low, high = ("" if end is None else signed(end, DIGITS) for end in ends)
    value = fixed(abs(found.mean), DIGITS) if found else ""
    return {"value": value, "low": low, "high": high, "margin": f"{margin}"}


def _listed(
    those: Sequence[tuple[str, IntervalEstimate | None, str]], rows: Sequence[TableRow]
) -> str:
    """Return variants with their differences, or why they have none.

    Where a table has many rows, it is how many these are, and their range.
    """
    compared = [difference.mean for _, difference, why in those if difference and not why]
    if len(rows) > MOST_NAMED and len(compared) == len(those):
        number = "all" if len(those) == len(rows) else len(those)
        return f"{number} ({_span(compared, _signed)})"
    return ", ".join(
        f"{variant} ({why or (_signed(difference.mean) if difference else '')})"
        for variant, difference, why in those
    )


def _signed(value: float) -> str:
    return signed(value, DIGITS)


def text_finding(table: AblationTable, section: Section, text: TextBaseline) -> str:
    """Return how the variants compare with the static baseline that needs the fewest bits."""
    rows = section.rows
    found = clauses(
        f"static {text.title} ({fixed(text.bits_per_byte, DIGITS)})",
        [(row, row.to_text_verdict) for row in rows if row.to_text_verdict],
        lambda those: _listed([(row.variant, row.to_text, row.to_text_why) for row in those], rows),
        table.question.metric,
    )
    of = f"Of {len(rows)} variants on" if len(rows) > MOST_NAMED else "On"
    return f"{of} the {heading(table, section)}, judged by seeds alone, {found}."


def _at_edge(table: AblationTable, choice: TunedChoice) -> str:
    end = "largest" if choice.best == max(choice.tried) else "smallest"
    return (
        f"The {table.question.tuned} of {choice.variant} with the lowest mean loss on val, "
        f"{choice.best}, is the {end} that was tried: the optimum may lie beyond."
    )


# What was compared


def what_was_compared(table: AblationTable) -> list[str]:
    """Return what was compared: experiment, texts, sizes, lengths, and shares of text."""
    question = table.question
    runs = [row.runs[0] for row in table.sections[0].rows]
    trained = [run for run in runs if run.steps]
    said = []
    if question.experiment:
        texts = "; ".join(f"{corpus} corpus: {source}" for corpus, source in question.texts.items())
        said.append(f"Experiment `{question.experiment}`; {texts}.")
    sizes = f"{_span([run.parameters for run in runs], count)} parameters"
    if trained:
        lengths = [
            f"{_span([run.steps for run in trained], count)} steps",
            f"of {_span([run.batch_size for run in trained], count)} sequences",
            f"of {_span([run.context_length for run in trained], count)} tokens",
        ]
        sizes += f"; the judged training has {' '.join(lengths)}"
    said.append(f"{sizes[0].upper()}{sizes[1:]}.")
    said += _shares(trained)
    return said


def _span(values: Sequence[Value], write: Callable[[Value], str]) -> str:
    """Return a value, or the smallest and the largest."""
    low, high = write(min(values)), write(max(values))
    return low if low == high else f"{low} to {high}"


def _shares(runs: Sequence[Run]) -> list[str]:
    """Return which share of its text each training saw, if the shares differ."""
    passes = [run.passes for run in runs if run.passes is not None]
    if not passes or max(passes) <= min(passes) * (1 + LEAST_CHANGE):
        return []
    flops = [run.flops for run in runs if run.flops]
    cost = f", and took {_span(flops, scientific)} FLOPs" if flops else ""
    return [
        "Shares of text differ: the judged trainings saw their training text "
        f"{_span(passes, significant)} times{cost}."
    ]


# How to read it


def how_to_read(table: AblationTable) -> str:
    """Return what the columns mean."""
    return " ".join(filter(None, [*_of_intervals(table), *_of_columns(table)]))


LOOKS = {
    "once": "Student's t intervals for the seeds that were named beforehand: seeds added after a "
    "look at the table would break them (`looks: any` allows it).",
    "any": "Intervals hold however often the runs are looked at and seeds are added "
    "(Lai 1976; Wang and Ramdas 2023).",
}


def _of_intervals(table: AblationTable) -> list[str]:
    question = table.question
    margin = question.margin and f"{question.margin} {question.metric.label}"
    together = (
        f"The intervals of the {table.comparisons} differences hold together: each is widened for "
        "all of them (Bonferroni)."
        if table.comparisons > 1
        else ""
    )
    return [
        "Mean, sample standard deviation and interval over the seeds; intervals of means hold each "
        "by itself.",
        LOOKS[question.looks],
        f"Differences are taken seed by seed against `{question.baseline}`.",
        together,
        legend(margin or None),
    ]


def _half_tuned(table: AblationTable) -> str:
    """Return a warning where tuned variants are compared with ones that cannot be tuned."""
    tuned = {choice.variant for choice in table.choices}
    if tuned == {*table.question.variants}:
        return ""
    others = ", ".join(name for name in table.question.variants if name not in tuned)
    return (
        f" {others} cannot be tuned: the choice among {table.question.tuned} favours the others, "
        "and more often than the intervals say."
    )


def _of_columns(table: AblationTable) -> list[str]:
    tuned = (
        f"Tuned: each variant has the {table.question.tuned} with the lowest mean loss on val over "
        f"these seeds; untuned: its own.{_half_tuned(table)}"
        if table.choices
        else ""
    )
    uncounted = (
        "; those of models that other code defines are not counted"
        if any(run.flops is None for run in table.runs)
        else ""
    )
    texts = (
        f"Baselines have read the training text of the same corpus{_unread(table)}. Static ones "
        "learn nothing from the test text, as the models here; adaptive ones learn from it while "
        "they read on. "
        "Differences to a static one are over the seeds, on this one test text, and without a "
        "margin; their intervals hold together, as a second family."
        if table.baselines
        else ""
    )
    return [
        tuned,
        "Tokens, passes over the training text and FLOPs are those of one judged training; "
        f"products of matrices are counted, forward and backward{uncounted}.",
        texts,
        "Equal keys in two tables are the same runs, so such tables are not independent.",
    ]


def _unread(table: AblationTable) -> str:
    """Name the training texts that baselines did not read whole."""
    read = {each.corpus: each.train_read for each in table.baselines if each.train_read}
    ends = ", ".join(f"the last {size(n_bytes)} of {corpus}" for corpus, n_bytes in read.items())
    return f" ({ends})" if ends else ""
