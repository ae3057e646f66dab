"""Render the findings of a page as Markdown, to be quoted elsewhere word for word."""

from collections.abc import Iterator

from markupsafe import Markup

from variorum.evaluation.metrics import KINDS, Kind
from variorum.report.content import Corpus, ReportData, Standing
from variorum.report.findings import KIND_NAMES, findings, standings, summary
from variorum.report.naming import baseline_name
from variorum.report.numbers import fixed


def findings_text(report: ReportData) -> str:
    """Return a table of all scores, and the page's sentences on them."""
    sentences = [*summary(report), *findings(report), *(each for each, _ in standings(report))]
    items = "".join(f"- {Markup(each).striptags()}\n" for each in sentences)
    return "\n".join([*_table(report), "", items])


def _table(report: ReportData) -> Iterator[str]:
    yield "| | " + " | ".join(f"{corpus.role} test text" for corpus in report.corpora) + " |"
    yield "|---" * (1 + len(report.corpora)) + "|"
    for kind in KINDS:
        who = dict.fromkeys(each.who for one in report.corpora for each in one.of_kind(kind))
        if who:
            yield f"| *{KIND_NAMES[kind]}* |" + " |" * len(report.corpora)
        for name in who:
            cells = [_cell(corpus, name, kind) for corpus in report.corpora]
            yield f"| {_label(report, name)} | " + " | ".join(cells) + " |"


def _cell(corpus: Corpus, who: str, kind: Kind) -> str:
    found = next((each for each in corpus.of_kind(kind) if each.who == who), None)
    if found is None:
        return "–"
    bits = fixed(found.bits_per_byte.value)
    interval = found.interval.value
    return f"{bits} ({fixed(interval['low'])} to {fixed(interval['high'])})" if interval else bits


def _label(report: ReportData, who: str) -> str:
    found: Standing = next(
        each for corpus in report.corpora for each in corpus.standings if each.who == who
    )
    return f"{found.model} model" if found.model else baseline_name(who)
