"""Render an answered ablation as Markdown and CSV.

Markdown and HTML show the same cells (`cells`) and sentences (`sentences`), CSV the same numbers
with more digits.
"""

import csv
import io
from collections.abc import Iterator, Sequence

from variorum.report.ablation.cells import Sheet, codes, keys, sheets, verdict_of
from variorum.report.ablation.sentences import findings, how_to_read, what_was_compared
from variorum.report.ablation.table import AblationTable, Section, TableRow
from variorum.report.adopted import MARK
from variorum.report.claims import word
from variorum.report.statistics import IntervalEstimate

CSV_DIGITS = 6
FILES = (
    "[runs.csv](runs.csv) holds every run, [costs.csv](costs.csv) how long each took and where, "
    "[manifest.json](manifest.json) what all of it was made from."
)

# Markdown


def markdown(table: AblationTable, figures: Sequence[tuple[str, str]] = ()) -> str:
    """Return the table as GitHub-flavoured Markdown, with how to read and repeat it.

    `figures` are (file, caption) of the drawings beside it.
    """
    question = table.question
    lines = [f"# {question.title}", "", question.question, ""]
    lines += [f"- {sentence}" for sentence in findings(table)]
    lines += ["", " ".join(what_was_compared(table)), ""]
    for sheet in sheets(table):
        lines += _markdown_of(sheet)
    lines += [how_to_read(table), ""]
    for file, caption in figures:
        lines += [f"![{caption}]({file})", ""]
    lines += ["Run again:", "", f"    {question.command}", "", *_markdown_of(keys(table))]
    if ran := codes(table):
        lines += _markdown_of(ran)
    lines += [FILES]
    if table.adopted:
        lines += [
            "",
            f"{MARK} An edit of code gave these runs new keys, under which older results serve:",
            "",
            *(f"- {line}" for line in table.adopted),
        ]
    return "\n".join(lines) + "\n"


def _markdown_of(sheet: Sheet) -> list[str]:
    rule = ["---:" if numeric else "---" for numeric in sheet.numeric]
    lines = [_line(sheet.columns), _line(rule), *map(_line, sheet.rows)]
    if sheet.folded:
        summary = f"<details><summary>{sheet.heading}</summary>"
        return [summary, "", *lines, "", "</details>", ""]
    return [f"## {sheet.heading}", "", *lines, ""]


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
    "verdict",
    "text_baseline",
    "to_text",
    "to_text_low",
    "to_text_high",
    "to_text_verdict",
    "keys",
    "metric",
    "baseline",
    "margin",
    "looks",
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
    value, question = row.value, table.question
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
        *_plain(value.mean, value.sd, value.low, value.high),
        *_ends(row.difference),
        verdict_of(table, row),
        section.text.title if section.text else "",
        *_ends(row.to_text),
        word(row.to_text_verdict, question.metric) if row.to_text_verdict else "",
        " ".join(f"{run.seed}:{run.key}" for run in row.runs),
        question.metric.label,
        question.baseline,
        "" if question.margin is None else question.margin,
        question.looks,
        question.question,
        question.command,
        "; ".join(adopted),
    ]


def _ends(found: IntervalEstimate | None) -> Iterator[str]:
    """Yield a difference and its interval."""
    yield from _plain(*((found.mean, found.low, found.high) if found else (None,) * 3))


def _plain(*numbers: float | None) -> Iterator[str]:
    for number in numbers:
        yield "" if number is None else f"{round(number, CSV_DIGITS) + 0.0:.{CSV_DIGITS}f}"
