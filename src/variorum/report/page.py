"""Render the report: one HTML page that holds everything and needs no network.

Takes a `ReportData`. Returns the page as text: styles and figures inside, no script, light and
dark, from a phone's width up. The template places things; `findings` decides what is said about
them, in functions that tests can reach. Numbers are rounded by `numbers`, as everywhere, and marked
with the files that they are from.
"""

from functools import partial

from markupsafe import Markup

from variorum.evaluation.metrics import HEADLINE, KINDS, METRICS, SHARE
from variorum.evaluation.stress.behaviour.outcome import HUMAN, WRITERS
from variorum.report.adopted import MARK
from variorum.report.bars import bars
from variorum.report.claims import word
from variorum.report.content import ReportData
from variorum.report.findings import (
    KIND_NAMES,
    findings,
    floors,
    parts_of,
    standings,
    summary,
    verdict_of,
)
from variorum.report.naming import MODELS
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
"""The sections of the page, in order."""


def render(report: ReportData) -> str:
    """Return the page as HTML; all data is escaped, except the figures' own SVG."""
    placed = list(standings(report))
    filters = {way.replace("-", "_"): partial(_shown, way) for way in WAYS}
    return rendered(
        "templates/report.html.j2",
        {**filters, "source": attributes, "written": as_text, "drawn": drawn, "lines": _lines},
        derived=derived,
        report=report,
        summary=list(summary(report)),
        findings=[
            *findings(report),
            *(sentence for sentence, loses in placed if not loses),
            *floors(report),
        ],
        flags=[sentence for sentence, loses in placed if loses],
        charts=[
            (corpus, [(kind, bars(report, corpus, kind)) for kind in KINDS if corpus.of_kind(kind)])
            for corpus in report.corpora
        ],
        kinds=KIND_NAMES,
        models=[name for name in MODELS.values() if any(s.model == name for s in report.scores)],
        compared=_compared,
        titles=SECTIONS,
        scored=[m for m in METRICS.values() if m.unit != SHARE and m is not HEADLINE],
        shares=[m for m in METRICS.values() if m.unit == SHARE],
        headline=HEADLINE,
        number=number,
        empty=_empty(report),
        parts=parts_of(report),
        commands=commands(report),
        judged=WRITERS,
        measured=(*WRITERS, HUMAN),
        mark=MARK,
    )


def _shown(way: str, traced: Traced, digits: int | None = None) -> Markup:
    return number(traced, way if digits is None else f"{way} {digits}")


def _compared(difference: Traced) -> str:
    return word(verdict_of(difference))


def _lines(settings: Traced) -> list[tuple[str, str]]:
    return list(lines(settings.value))


def commands(report: ReportData) -> list[tuple[str, Traced]]:
    """Return commands for the page, a part or a check of it, each explained."""
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
            "Every file compared with its hash, up to the sources.",
            derived("verify-command", report.key),
        ),
        (
            "This page made again beside the result and compared to the bit; without its key, "
            "everything that the current experiment stands on.",
            derived("rerun-command", report.key),
        ),
    ]


def _empty(report: ReportData) -> set[str]:
    """Return the sections that this page has nothing for."""
    optional = {"inside", "figures"}
    return {section for section in optional if not report.figures_of(section)}
