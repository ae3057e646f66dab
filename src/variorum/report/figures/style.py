"""Set how figures look, and turn them into SVG text, the same bytes every time.

Every figure is made within one style and leaves by one function (`svg_of`). Together they remove
what differs between runs: dates, random ids, the version in the metadata. Text stays text, so a
page can search it and a reader can select it. Figures have a white ground of their own and are
drawn small with comparatively large letters, so that they can be read on a dark page and on a
phone.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

Floats = npt.NDArray[np.floating]

INK = "#22272e"
FAINT = "#8b949e"
RULE = "#d8dee4"
PAPER = "#ffffff"
PALETTE = ("#2a5f94", "#c4602a", "#3f7f5f", "#8a5a9e", "#7a6a2f")  # pretrained, fine-tuned, more
WIDTH = 5.2  # inches: at a phone's width letters are still about nine pixels high

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
    "figure.facecolor": PAPER,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9.5,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "path.simplify": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "variorum",
    "text.color": INK,
    "text.parse_math": False,  # a token may hold dollar signs
    "xtick.color": INK,
    "xtick.labelsize": 9,
    "ytick.color": INK,
    "ytick.labelsize": 9,
}


@contextmanager
def style() -> Iterator[None]:
    """Set the looks: every figure is made and written inside this context."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def svg_of(figure: Figure) -> str:
    """Return the figure as SVG text."""
    text = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(text, format="svg", metadata=metadata)
    # The same picture drawn twice would have one id twice; nothing refers to it.
    svg = re.sub(r' id="image[0-9a-f]+"', "", text.getvalue())
    svg = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", svg)
    svg = re.sub(r'(?<= [dxy]=")[^"]+', _rounded, svg)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def _rounded(places: re.Match[str]) -> str:
    """Round coordinates to a hundredth of a point, which is finer than any screen."""
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", places[0])
