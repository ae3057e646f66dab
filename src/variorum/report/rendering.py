"""Render pages from templates: one folder, one style sheet, one way to escape.

A page holds everything that it shows, styles and figures, and needs no script and no network.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent

TAG = re.compile(r"<[a-z](?:[^<>\"]|\"[^\"]*\")*>")


def rendered(template: str, filters: Mapping[str, Callable[..., Any]], **names: Any) -> str:
    """Return a template's page; all names are escaped, except `Markup`.

    template: its path below this folder, so that the key of a page holds no other's template.
    `css` names the style sheet, and the filter `inline` is `inline_svg`.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"inline": inline_svg, **filters}
    css = Markup((FOLDER / "templates/report.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(css=css, **names)


def inline_svg(svg: str, name: str, label: str) -> Markup:
    """Prepare a figure's SVG text for a page with other figures.

    Takes off the XML head, makes the ids the figure's own, lets the page decide the width, and
    names the figure to readers who cannot see it.
    """
    body = TAG.sub(lambda tag: _with_own_ids(tag[0], name), svg[svg.index("<svg") :])
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return Markup("{}{}>{}").format(
        Markup(head), Markup(' role="img" aria-label="{}"').format(label), Markup(rest)
    )


def _with_own_ids(tag: str, name: str) -> str:
    """Put the name before a tag's ids, and before references to ids."""
    tag = re.sub(r'\sid="([^"]+)"', rf' id="{name}-\1"', tag)
    tag = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", tag)
    return re.sub(r'xlink:href="#([^"]+)"', rf'xlink:href="#{name}-\1"', tag)
