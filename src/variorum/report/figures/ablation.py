"""The variants of an ablation beside each other."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from variorum.report.figures.style import FAINT, PALETTE, WIDTH, style, svg_of
from variorum.report.statistics import Estimate
from variorum.report.tables import AblationTable


def ablation_intervals(table: AblationTable) -> str:
    """Every variant's runs and mean with its interval, and its difference to the baseline."""
    with style():
        height = 1.3 + 0.42 * len(table.rows)
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        means, differences = figure.subplots(1, 2, sharey=True)
        for place, row in enumerate(table.rows):
            color = FAINT if row.difference is None else PALETTE[0]
            runs = [run.value for run in row.runs]
            means.scatter(runs, [place] * len(runs), s=12, color=color, alpha=0.45, linewidths=0)
            _draw_interval(means, place, row.value, color)
            if row.difference is not None:
                _draw_interval(differences, place, row.difference, color)
        means.set_yticks(range(len(table.rows)), [row.variant for row in table.rows])
        means.set_ylim(len(table.rows) - 0.5, -0.5)
        means.set_xlabel(table.metric)
        differences.axvline(0, color=FAINT, linewidth=1)
        differences.set_xlabel(f"difference to {table.baseline}")
        for axes in (means, differences):
            axes.grid(visible=False, axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(4))
        return svg_of(figure)


def _draw_interval(axes: Axes, place: float, value: Estimate, color: str) -> None:
    if value.low is not None and value.high is not None:
        axes.plot([value.low, value.high], [place, place], color=color, linewidth=2)
    axes.plot([value.mean], [place], marker="D", markersize=5, color=color, linestyle="none")
