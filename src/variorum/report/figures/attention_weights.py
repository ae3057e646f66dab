"""Draw the attention weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from variorum.report.figures.style import PALETTE, PAPER, WIDTH, Floats, style, svg_of

MOST_PANELS = 6  # a side, of the attention maps
FEWEST_COLUMNS = 4  # so that few heads are not drawn large
LARGE = 4.9  # inches, of the sharpest head's map
CELL = 12  # pixels a side, of an attention map's cell


def attention_heatmap(maps: Floats, labels: Sequence[str]) -> str:
    """Draw each head's attention to one text: all heads small, the sharpest large.

    Rows are queries, columns are keys; white is 0, the darkest is 1.
    A large model's layers and heads are thinned out evenly.

    Args:
        maps: attention weights (n_layer, n_head, T, T), rows summing to one.
        labels: the T tokens as they can be printed.
    """
    layers = _thinned(maps.shape[0])
    heads = _thinned(maps.shape[1])
    layer, head = _sharpest(maps)
    with style():
        columns = max(len(heads), FEWEST_COLUMNS)
        below = WIDTH / columns * len(layers) if maps.shape[:2] != (1, 1) else 0
        figure = Figure(figsize=(WIDTH, LARGE + below), layout="constrained")
        halves = figure.subfigures(2, 1, squeeze=False, height_ratios=[LARGE, max(below, 1e-6)])
        title = f"the sharpest: layer {layer}, head {head}"
        _draw_attention(halves[0, 0].subplots(), maps[layer, head], labels, title)
        if below:
            panels = halves[1, 0].subplots(len(layers), columns, squeeze=False)
            _draw_heads(panels, maps, layers, heads)
        return svg_of(figure)


def _draw_heads(panels: Any, maps: Floats, layers: list[int], heads: list[int]) -> None:
    """Draw every head small: a row for each layer."""
    for row, layer in enumerate(layers):
        for axes in panels[row, len(heads) :]:
            axes.axis("off")
        for column, head in enumerate(heads):
            axes = panels[row, column]
            _show(axes, maps[layer, head])
            axes.set_xticks([])
            axes.set_yticks([])
            if row == 0:
                axes.set_title(f"head {head}", fontweight="normal", loc="center")
            if column == 0:
                axes.set_ylabel(f"layer {layer}")


def _thinned(n: int) -> list[int]:
    return sorted({int(index) for index in np.linspace(0, n - 1, min(n, MOST_PANELS)).round()})


def _sharpest(maps: Floats) -> tuple[int, int]:
    """Return the head with the least entropy over what it attends to.

    The first position is left out: attending to it alone is how a head rests (Xiao et al. 2023).
    For one token, no head is sharper than another, and the first is taken.
    """
    if maps.shape[-1] < 2:
        return 0, 0
    weights = np.asarray(maps, dtype=np.float64)[:, :, 1:, 1:]
    seen = weights.sum(axis=-1)  # (n_layer, n_head, T-1)
    share = weights / np.maximum(seen, 1e-12)[..., None]
    entropy = -(share * np.log(np.maximum(share, 1e-12))).sum(axis=-1)
    blur = (seen * entropy).sum(-1) / np.maximum(seen.sum(-1), 1e-12) + (1 - seen.mean(-1))
    layer, head = np.unravel_index(int(blur.argmin()), blur.shape)
    return int(layer), int(head)


def _draw_attention(axes: Axes, weights: Floats, labels: Sequence[str], title: str) -> None:
    _show(axes, weights)
    axes.set_title(title)
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=90, family="monospace", fontsize=8)
    axes.set_yticks(places, labels, family="monospace", fontsize=8)
    axes.tick_params(length=0)


def _show(axes: Axes, weights: Floats) -> None:
    """Draw a matrix as large cells: viewers blur the edges of small ones."""
    rows, columns = weights.shape
    axes.imshow(
        np.kron(weights, np.ones((CELL, CELL))),
        cmap=sns.blend_palette([PAPER, PALETTE[0], "#0f2740"], as_cmap=True),
        vmin=0,
        vmax=1,
        interpolation="none",
        extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
    )
    axes.grid(visible=False)
