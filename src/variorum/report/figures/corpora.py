"""Draw the corpora: the text after each step of cleaning, and the split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from variorum.report.figures.style import FAINT, PALETTE, RULE, WIDTH, style, svg_of
from variorum.report.numbers import MINUS, count, size

ROW = 0.27  # inches
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Cleaning:
    """Hold the cleaning of one corpus.

    steps: in their order, as `corpus.funnel` notes them.
    splits: for each part, its `documents` and `bytes`, as the stage normalize notes them.
    """

    steps: Sequence[Mapping[str, Any]]
    splits: Mapping[str, Mapping[str, Any]]

    @property
    def effective(self) -> list[Mapping[str, Any]]:
        """Return the steps that changed or dropped something."""
        return [s for s in self.steps if s["changed"] or s["documents_in"] != s["documents_kept"]]


def corpus_funnel(corpora: Mapping[str, Cleaning]) -> str:
    """Draw the text that each step kept and dropped, then the parts of the split.

    Kept text is a bar, dropped text its pale end. Steps that changed nothing are left out. Each
    corpus has a scale of its own.

    Args:
        corpora: by its name, the cleaning of a corpus, which has at least one step.
    """
    with style():
        heights = [len(each.effective) + len(PARTS) + 3 for each in corpora.values()]
        figure = Figure(figsize=(WIDTH, ROW * sum(heights)), layout="constrained")
        panels = figure.subplots(len(corpora), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (name, cleaning), color in zip(panels, corpora.items(), PALETTE, strict=False):
            _draw_cleaning(axes, cleaning, color)
            axes.set_title(name)
        return svg_of(figure)


def _draw_cleaning(axes: Axes, cleaning: Cleaning, color: str) -> None:
    first = cleaning.steps[0]
    rows = [("as read", _kept(first["documents_in"], first["bytes_in"], " documents"))]
    axes.barh(0, first["bytes_in"], color=color)
    for step in cleaning.effective:
        place, dropped = len(rows), step["documents_in"] - step["documents_kept"]
        rows.append((_name_of(step, dropped), _kept(step["documents_kept"], step["bytes_kept"])))
        axes.barh(place, step["bytes_in"], color=color, alpha=0.25)
        axes.barh(place, step["bytes_kept"], color=color)
    left = 0
    for part in PARTS:
        split = cleaning.splits[part]
        axes.barh(len(rows), split["bytes"], left=left, color=FAINT)
        rows.append((part, _kept(split["documents"], split["bytes"])))
        left += split["bytes"]
    places = range(len(rows))
    axes.set_yticks(places, [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(length=0)
    axes.axhline(len(rows) - len(PARTS) - 0.5, color=RULE, linewidth=1)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    right = axes.secondary_yaxis("right")
    right.set_yticks(places, [kept for _, kept in rows])
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)


def _kept(documents: int, n_bytes: int, unit: str = "") -> str:
    return f"{count(documents)}{unit}, {size(n_bytes)}"


def _name_of(step: Mapping[str, Any], dropped: int) -> str:
    name = str(step["name"]).replace("_", " ")
    return f"{name} {MINUS}{count(dropped)}" if dropped else name
