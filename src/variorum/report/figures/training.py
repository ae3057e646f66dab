"""Draw how trainings went: losses and learning rate, and what happened inside."""

from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from variorum.report.figures.style import INK, PALETTE, WIDTH, style, svg_of
from variorum.report.numbers import fixed


def training_curves(metrics: Mapping[str, pd.DataFrame]) -> str:
    """Draw losses and learning rate by step, one column of panels for each training.

    Args:
        metrics: by the training's name, a table with the columns `step`, `train_loss`,
            `val_loss` (nats per token; empty at steps without validation) and `learning_rate`.
    """
    with style():
        figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
        panels = figure.subplots(
            2, len(metrics), sharex="col", squeeze=False, height_ratios=[2.6, 1]
        )
        for column, (name, table) in enumerate(metrics.items()):
            color = PALETTE[column % len(PALETTE)]
            _draw_losses(panels[0, column], table, color)
            panels[0, column].set_title(name)
            rate = panels[1, column]
            rate.plot(table["step"], 1000 * table["learning_rate"], color=color)
            rate.set_ylim(bottom=0)
            rate.set_xlabel("step")
            rate.yaxis.set_major_locator(MaxNLocator(3))
            rate.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panels[0, 0].set_ylabel("loss (nats per token)")
        panels[1, 0].set_ylabel("rate × 1000")
        figure.align_ylabels()
        return svg_of(figure)


def _draw_losses(axes: Axes, table: pd.DataFrame, color: str) -> None:
    train = table[["step", "train_loss"]].dropna()
    val = table[["step", "val_loss"]].dropna()
    span = max(1, len(train) // 50)
    smooth = train["train_loss"].rolling(span, min_periods=1, center=True).mean()
    axes.plot(train["step"], train["train_loss"], color=color, alpha=0.25, linewidth=0.8)
    axes.plot(train["step"], smooth, color=color, label="train")
    axes.plot(
        val["step"],
        val["val_loss"],
        color=INK,
        linewidth=1.1,
        marker="o",
        markersize=3,
        label="val",
    )
    if len(val):
        best = val.iloc[int(val["val_loss"].to_numpy().argmin())]
        axes.plot(
            [best["step"]],
            [best["val_loss"]],
            color=INK,
            linestyle="none",
            marker="o",
            markersize=7,
            markerfacecolor="none",
            label=f"lowest: {fixed(best['val_loss'])}",
        )
    axes.legend(loc="best")  # where no line passes


def training_dynamics(diagnostics: Mapping[str, pd.DataFrame]) -> str:
    """Draw what happened inside by step: one column of panels for each training.

    For each layer's attention (solid) and feed-forward network (dashed), and for the embedding:
    norm of the gradient before clipping, size of a step over size of the weights; behind each
    layer, root mean square of the activations.

    Args:
        diagnostics: by the training's name, the table that `training.diagnostics` describes.
    """
    rows = {
        "gradient_norm": "gradient norm",
        "update_ratio": "step / weights",
        "activation_rms": "activations (RMS)",
    }
    with style():
        figure = Figure(figsize=(WIDTH, 5.4), layout="constrained")
        panels = figure.subplots(
            len(rows), len(diagnostics), sharex="col", sharey="row", squeeze=False
        )
        for column, (name, table) in enumerate(diagnostics.items()):
            for row, (measure, label) in enumerate(rows.items()):
                axes = panels[row, column]
                _draw_parts(axes, table, measure)
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axes.yaxis.set_minor_locator(NullLocator())
                if column == 0:
                    axes.set_ylabel(label)
            panels[0, column].set_title(name)
            panels[-1, column].set_xlabel("step")
            panels[-1, column].xaxis.set_major_locator(MaxNLocator(4, integer=True))
        named = {
            label: handle
            for axes in panels[:, 0]
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(named.values(), named, loc="outside lower center", ncols=3, handlelength=2.4)
        figure.align_ylabels()
        return svg_of(figure)


LINES = {"attn": "-", "mlp": "--", "": ":"}
"""Styles of a layer's attention, its feed-forward network, and the whole layer's output."""


def _draw_parts(axes: Axes, table: pd.DataFrame, measure: str) -> None:
    """Draw one line for each part: darker is deeper; first and last layer are named."""
    known = table.dropna(subset=[measure])
    parts = [part for part in known["part"].unique() if part == "wte" or _is_layer(part)]
    n_layer = 1 + max((int(part.split(".")[1]) for part in parts if part != "wte"), default=0)
    depths = sns.blend_palette(["#9cc3e6", PALETTE[0], "#0f2740"], n_layer)
    for part in parts:
        chosen = known[known["part"] == part]
        values = chosen[measure].where(chosen[measure] > 0)
        if part == "wte":
            axes.plot(chosen["step"], values, color=PALETTE[1], label="embedding")
            continue
        depth, kind = int(part.split(".")[1]), part.split(".")[2:]
        named = depth in (0, n_layer - 1)
        axes.plot(
            chosen["step"],
            values,
            color=depths[depth],
            linestyle=LINES[kind[0] if kind else ""],
            linewidth=1.2,
            label=" ".join([f"layer {depth}", *kind]) if named else None,
        )


def _is_layer(part: str) -> bool:
    """Return whether a part is a layer, its attention or its feed-forward network.

    Norms are left out.
    """
    return part.startswith("h.") and not part.rpartition(".")[2].startswith("ln_")
