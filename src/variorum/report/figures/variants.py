"""Draw the variants of an ablation beside each other."""

from collections.abc import Mapping, Sequence
from itertools import cycle, product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, NullLocator

from variorum.report.ablation.sentences import heading
from variorum.report.ablation.table import AblationTable, Section, TunedChoice
from variorum.report.figures.style import FAINT, PALETTE, WIDTH, style, svg_of
from variorum.report.statistics import IntervalEstimate, Looks, estimate

LINES = [(color, dashes) for dashes, color in product(("-", "--", ":"), PALETTE)]


def intervals(table: AblationTable) -> str:
    """Draw each variant's runs, mean and interval, and its difference to the baseline.

    One row of panels for each section of the table.
    """
    with style():
        heights = [1.3 + 0.3 * len(section.rows) for section in table.sections]
        figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        panels = figure.subplots(
            len(heights), 2, sharey="row", squeeze=False, height_ratios=heights
        )
        for (means, differences), section in zip(panels, table.sections, strict=True):
            _draw_section(means, differences, section)
            _draw_margin(differences, table.question.margin)
            if len(table.sections) > 1:
                means.set_title(heading(table, section))
            means.set_xlabel(table.question.metric.label)
            differences.set_xlabel(f"difference to\n{table.question.baseline}")
        return svg_of(figure)


def _draw_section(means: Axes, differences: Axes, section: Section) -> None:
    for place, row in enumerate(section.rows):
        color = FAINT if row.verdict is None else PALETTE[0]
        runs = [run.scores[section.corpus] for run in row.runs]
        means.scatter(runs, [place - 0.22] * len(runs), s=18, color=color, alpha=0.6, linewidths=0)
        _draw_interval(means, place, row.value, color)
        if row.difference is not None:
            _draw_interval(differences, place, row.difference, color)
    means.set_yticks(range(len(section.rows)), [row.variant for row in section.rows])
    means.set_ylim(len(section.rows) - 0.5, -0.5)
    differences.axvline(0, color=FAINT, linewidth=1)
    for axes in (means, differences):
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(4))


def _draw_margin(axes: Axes, margin: float | None) -> None:
    """Draw a band as far as the margin to each side of 0."""
    if margin is not None:
        axes.axvspan(-margin, margin, color=FAINT, alpha=0.2, linewidth=0)


def _draw_interval(axes: Axes, place: float, value: IntervalEstimate, color: str) -> None:
    if value.low is not None and value.high is not None:
        axes.plot([value.low, value.high], [place, place], color=color, linewidth=2)
    axes.plot([value.mean], [place], marker="D", markersize=5, color=color, linestyle="none")


def learning_curves(curves: Mapping[str, Sequence[pd.DataFrame]], looks: Looks = "once") -> str:
    """Draw the validation loss by tokens seen: mean over runs, and its interval.

    Args:
        curves: by variant, one table for each run, with the columns `tokens` and `bits_per_byte`.
        looks: how often the runs may be looked at.
    """
    with style():
        figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        axes = figure.subplots()
        lowest, start = np.inf, -np.inf
        for (variant, runs), (color, dashes) in zip(curves.items(), cycle(LINES), strict=False):
            points = _points(runs, looks)
            axes.plot(
                "tokens", "mean", data=dict(points), color=color, linestyle=dashes, label=variant
            )
            axes.fill_between(
                "tokens", "low", "high", data=dict(points), color=color, alpha=0.2, lw=0
            )
            lowest = min(lowest, points["low"].fillna(points["mean"]).min())
            start = max(start, points["high"].fillna(points["mean"]).iloc[min(1, len(points) - 1)])
        # The loss before the first step is far above all others.
        axes.set_ylim(lowest - 0.05 * (start - lowest), start + 0.05 * (start - lowest))
        axes.set_xlabel("tokens seen")
        axes.set_ylabel("bits per byte of val")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        columns = 3 if len(curves) <= len(PALETTE) else 2
        figure.set_figheight(3.4 + 0.2 * -(-len(curves) // columns))
        figure.legend(loc="outside lower center", ncols=columns, fontsize=8)
        return svg_of(figure)


def _points(runs: Sequence[pd.DataFrame], looks: Looks) -> pd.DataFrame:
    """Return all runs' mean and interval by tokens seen; one run has no interval."""
    by_tokens = pd.concat(runs).groupby("tokens")["bits_per_byte"]
    # Where some runs have ended, the mean would cover only the others.
    whole = {at: list(each) for at, each in by_tokens if len(each) == len(runs)}
    values = {at: estimate(each, looks=looks) for at, each in whole.items()}
    return pd.DataFrame(
        [
            {"tokens": at, "mean": value.mean, "low": value.low, "high": value.high}
            for at, value in values.items()
        ],
        dtype=float,
    )


def tuning(choices: Sequence[TunedChoice], setting: str) -> str:
    """Draw the mean validation loss by the value tried, one line for each variant."""
    with style():
        figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
        axes = figure.subplots()
        for choice, (color, dashes) in zip(choices, cycle(LINES), strict=False):
            values = sorted(choice.tried)
            losses = [choice.tried[value] for value in values]
            axes.plot(
                values, losses, color=color, linestyle=dashes, marker="o", label=choice.variant
            )
            axes.plot([choice.best], [choice.tried[choice.best]], "o", ms=9, mfc="none", mec=color)
        tried = sorted({value for choice in choices for value in choice.tried})
        if tried[0] > 0:
            axes.set_xscale("log")
        axes.set_xticks(tried, [str(value) for value in tried])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(setting)
        axes.set_ylabel("loss on val (nats per token)")
        axes.legend()
        return svg_of(figure)


def trade_off(table: AblationTable) -> str:
    """Draw differences to the baseline on one corpus against the other, with intervals.

    The table has two sections, one for each corpus.
    """
    across, up = table.sections
    with style():
        figure = Figure(figsize=(WIDTH, 3.8), layout="constrained")
        axes = figure.subplots()
        axes.axhline(0, color=FAINT, linewidth=1)
        axes.axvline(0, color=FAINT, linewidth=1)
        pairs = [
            (one.variant, one.difference, other.difference)
            for one, other in zip(across.rows, up.rows, strict=True)
        ]
        drawn = [(name, x, y) for name, x, y in pairs if x is not None and y is not None]
        for (name, x, y), (color, dashes) in zip(drawn, cycle(LINES), strict=False):
            marker = {"-": "o", "--": "s", ":": "^"}[dashes]
            axes.plot([x.mean], [y.mean], marker, color=color, ms=5, label=name)
            if x.low is not None and x.high is not None:
                axes.plot([x.low, x.high], [y.mean] * 2, color=color, linewidth=0.8, alpha=0.6)
            if y.low is not None and y.high is not None:
                axes.plot([x.mean] * 2, [y.low, y.high], color=color, linewidth=0.8, alpha=0.6)
        axes.set_xlabel(f"{across.corpus} test text: difference to {table.question.baseline}")
        axes.set_ylabel(f"{up.corpus} test text: difference")
        figure.legend(loc="outside lower center", ncols=2, fontsize=8)
        return svg_of(figure)
