"""How pages are made of templates: one folder of them, one style sheet, one way to escape.

A page holds everything that it shows, styles and figures, and needs no script and no network.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


def rendered(template: str, filters: Mapping[str, Callable[..., Any]], **names: Any) -> str:
    """The page that a template makes of these names. All text is escaped, `Markup` is taken as is.

    `css` stands for the style sheet.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= filters
    css = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(css=css, **names)
