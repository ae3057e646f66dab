"""Where attention looks."""

from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from variorum.report.figures.style import PALETTE, PAPER, WIDTH, Floats, style, svg_of

MOST_PANELS = 6  # a side, of the attention maps
CELL = 12  # pixels a side, of an attention map's cell


def attention_heatmap(maps: Floats, labels: Sequence[str]) -> str:
    """Where each head looks while reading one text: all heads small, the sharpest one large.

    Rows are the positions that look, columns those looked at; white is 0, the darkest is 1.
    A large model's layers and heads are thinned out evenly.

    Args:
        maps: attention weights (n_layer, n_head, T, T), rows summing to one.
        labels: the T tokens as they can be printed.
    """
    layers = _thinned(maps.shape[0])
    heads = _thinned(maps.shape[1])
    layer, head = _sharpest(maps)
    with style():
        side = WIDTH / len(heads)
        figure = Figure(figsize=(WIDTH, 4.9 + side * len(layers)), layout="constrained")
        halves = figure.subfigures(2, 1, squeeze=False, height_ratios=[4.9, side * len(layers)])
        above, below = halves[:, 0]
        title = f"the sharpest: layer {layer}, head {head}"
        _draw_attention(above.subplots(), maps[layer, head], labels, title)
        panels = below.subplots(len(layers), len(heads), squeeze=False)
        for row, each_layer in enumerate(layers):
            for column, each_head in enumerate(heads):
                axes = panels[row, column]
                _show(axes, maps[each_layer, each_head])
                axes.set_xticks([])
                axes.set_yticks([])
                if row == 0:
                    axes.set_title(f"head {each_head}", fontweight="normal", loc="center")
                if column == 0:
                    axes.set_ylabel(f"layer {each_layer}")
        return svg_of(figure)


def _thinned(n: int) -> list[int]:
    return sorted({int(index) for index in np.linspace(0, n - 1, min(n, MOST_PANELS)).round()})


def _sharpest(maps: Floats) -> tuple[int, int]:
    """The head with the least entropy over what it looks at, the first position left out.

    Looking at the first position alone is how a head rests (Xiao et al. 2023), so it does not
    count as a look.
    """
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
    """Draw a matrix as an image of large cells: viewers blur the edges of small ones."""
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
