"""Render an answered ablation as one HTML page, with the figures.

Cells come from `cells`, sentences from `sentences`.
"""

import re
from collections.abc import Sequence

from markupsafe import Markup, escape

from variorum.report.ablation import cells, sentences
from variorum.report.ablation.table import AblationTable
from variorum.report.adopted import MARK
from variorum.report.rendering import rendered


def html(table: AblationTable, figures: Sequence[tuple[str, str, str]]) -> str:
    """Return the page, which holds all it shows. `figures`: (name, caption, SVG text)."""
    return rendered(
        "templates/ablation.html.j2",
        {},
        table=table,
        findings=sentences.findings(table),
        compared=[spans(each) for each in sentences.what_was_compared(table)],
        sheets=cells.sheets(table),
        how_to_read=spans(sentences.how_to_read(table)),
        keys=cells.keys(table),
        codes=cells.codes(table),
        figures=figures,
        code=spans,
        mark=MARK,
    )


def spans(text: str) -> Markup:
    """Mark text between backticks as code, and `[words](file)` as a link."""
    marked = re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\[([^]]*)\]\(([^)]*)\)", r'<a href="\2">\1</a>', marked))
