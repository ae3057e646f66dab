"""Render an answered ablation as one HTML page, with the figures.

Cells and sentences come from `render`.
"""

import re
from collections.abc import Sequence

from markupsafe import Markup, escape

from variorum.report.ablation import render
from variorum.report.ablation.table import AblationTable
from variorum.report.adopted import MARK
from variorum.report.rendering import rendered


def html(table: AblationTable, figures: Sequence[tuple[str, str, str]]) -> str:
    """Return the page, which holds all it shows. `figures`: (name, caption, SVG text)."""
    return rendered(
        "templates/ablation.html.j2",
        {},
        table=table,
        findings=render.findings(table),
        grids=render.grids(table),
        tried=render.tried(table),
        how_to_read=spans(render.how_to_read(table)),
        keys=render.keys(table),
        codes=render.codes(table),
        figures=figures,
        code=spans,
        mark=MARK,
    )


def spans(text: str) -> Markup:
    """Mark text between backticks as code, and `[words](file)` as a link."""
    marked = re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\[([^]]*)\]\(([^)]*)\)", r'<a href="\2">\1</a>', marked))
