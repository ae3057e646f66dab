"""Draw boxes and arrows, of which the diagrams of model and provenance consist."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from variorum.report.figures.style import INK

SMALL = 8.5  # size of letters


def canvas() -> tuple[Figure, Axes]:
    """Return an empty figure; its size and limits, in inches, are set at the end."""
    figure = Figure()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    return figure, axes


def finish(figure: Figure, axes: Axes, width: float, height: float) -> None:
    """Show x from 0 to `width`, y from 0 down to -`height`, in inches."""
    axes.set(xlim=(0, width), ylim=(-height, 0))
    figure.set_size_inches(width, height)


def write(axes: Axes, x: float, y: float, text: str, **looks: Any) -> None:
    """Write a text whose middle is at the height y."""
    axes.text(x, y, text, va="center", **looks)


def draw_box(
    axes: Axes, sides: tuple[float, float], ends: tuple[float, float], **looks: Any
) -> None:
    """Draw a box with round corners between two x and two y."""
    size = (sides[1] - sides[0], ends[1] - ends[0])
    shape = "round,pad=0,rounding_size=0.05"
    looks = {"linewidth": 0.9, **looks}
    axes.add_patch(FancyBboxPatch((sides[0], ends[0]), *size, boxstyle=shape, **looks))


def draw_arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw a straight arrow."""
    arrow = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=8,
        shrinkA=0,
        shrinkB=0,
        color=INK,
        linewidth=0.9,
    )
    axes.add_patch(arrow)


def pale(color: str) -> tuple[float, ...]:
    """Return the colour, pale enough for letters on it."""
    return tuple(0.88 + 0.12 * part for part in to_rgb(color))
