"""Draw what scores show beyond their sum: calibration, and loss by context."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from variorum.report.figures.style import FAINT, PALETTE, WIDTH, style, svg_of
from variorum.report.numbers import count, percent

Rows = Sequence[Mapping[str, Any]]
Models = Mapping[str, Rows]


def calibration(texts: Mapping[str, Models]) -> str:
    """Draw how often the likeliest token came, by its probability (Guo et al. 2017).

    On the dotted line a model's confidence is right; below it, it is too sure. Larger points
    stand for more tokens.

    Args:
        texts: by the test text and the model, the bins of `evaluation.score_details.reliability`.
    """
    return _side_by_side(texts, "came true", _draw_bins, _finish_calibration)


def _draw_bins(axes: Axes, rows: Rows, color: str, name: str) -> None:
    total = sum(row["tokens"] for row in rows)
    x, y = ([row[column] for row in rows] for column in ("confidence", "accuracy"))
    axes.plot(x, y, color=color, linewidth=1, label=name)
    axes.scatter(x, y, s=[6 + 120 * row["tokens"] / total for row in rows], color=color)


def _finish_calibration(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=FAINT, linestyle=":")
    axes.set_xlabel("probability of the best guess")
    axes.set_box_aspect(1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))


def loss_by_context(texts: Mapping[str, Models]) -> str:
    """Draw nats a token by the number of tokens seen before, in doubling ranges.

    Args:
        texts: by the test text and the model, the rows of `evaluation.score_details.by_position`.
    """
    return _side_by_side(texts, "nats per token", _draw_losses, _finish_losses)


def _draw_losses(axes: Axes, rows: Rows, color: str, name: str) -> None:
    middles = [(row["from"] * row["to"]) ** 0.5 for row in rows]
    losses = [row["nats_per_token"] for row in rows]
    axes.plot(middles, losses, color=color, marker="o", markersize=3.5, label=name)


def _finish_losses(axes: Axes) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(round(value))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("tokens seen before")


def _side_by_side(
    texts: Mapping[str, Models],
    measure: str,
    draw: Callable[[Axes, Rows, str, str], None],
    finish: Callable[[Axes], None],
) -> str:
    """Draw one panel for each text, with a line for each model."""
    with style():
        figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
        panels = figure.subplots(1, len(texts), sharey=True, squeeze=False)[0]
        for axes, (text, models) in zip(panels, texts.items(), strict=True):
            for (name, rows), color in zip(models.items(), PALETTE, strict=False):
                draw(axes, rows, color, name)
            finish(axes)
            axes.set_title(text)
        panels[0].set_ylabel(measure)
        panels[0].legend(loc="best")
        return svg_of(figure)
