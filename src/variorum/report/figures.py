"""The figures: plain data in, SVG text out, the same bytes every time.

Every figure is made within one style and leaves by one door (`_svg`), which together take out what
differs between runs: dates, random ids, the version in the metadata. Text stays text, so a page can
search it and a reader can select it. Figures have a white ground of their own and are drawn small
with comparatively large letters, so that they can be read on a dark page and on a phone.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from variorum.report.numbers import count, percent
from variorum.report.statistics import Estimate
from variorum.report.tables import AblationTable

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
def _style() -> Iterator[None]:
    """The one place for looks: every figure is made and written inside."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(text, format="svg", metadata=metadata)
    # The same picture drawn twice would have one id twice; nothing refers to it.
    svg = re.sub(r' id="image[0-9a-f]+"', "", text.getvalue())
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def training_curves(metrics: Mapping[str, pd.DataFrame]) -> str:
    """Losses and learning rate by step, one column of panels for each training.

    Args:
        metrics: by the training's name, a table with the columns `step`, `train_loss`,
            `val_loss` (nats per token; empty where it was not looked at) and `learning_rate`.
    """
    with _style():
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
        return _svg(figure)


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
        axes.annotate(
            f"{best['val_loss']:.3f}",
            (best["step"], best["val_loss"]),
            xytext=(0, 7),
            textcoords="offset points",
            ha="right",
            fontsize=9,
        )
    axes.legend(loc="upper right")


def token_frequencies(counts: Mapping[str, npt.NDArray[np.integer]]) -> str:
    """How often the k-th most common token stands in each text, with both axes logarithmic.

    A straight line of slope -1 is Zipf's law (Zipf 1949).

    Args:
        counts: by the text's name, how often each token of the vocabulary occurs (V,).
    """
    with _style():
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        top = 0.0
        for (name, each), color in zip(counts.items(), PALETTE, strict=False):
            shares = np.sort(each[each > 0])[::-1] / each.sum()
            ranks = np.unique(np.geomspace(1, len(shares), 200).astype(int))
            axes.plot(ranks, shares[ranks - 1], color=color, label=name)
            top = max(top, float(shares[0]))
        longest = max(int((each > 0).sum()) for each in counts.values())
        line = np.array([1, longest])
        axes.plot(line, top / line, color=FAINT, linestyle=":", label="Zipf's law")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("rank of the token")
        axes.set_ylabel("share of the text")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(int(value))))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        axes.legend(loc="lower left")
        return _svg(figure)


def principal_components(vectors: Floats, n: int = 2) -> tuple[Floats, Floats]:
    """Principal component analysis by singular value decomposition (Pearson 1901).

    Each component is turned so that its largest coordinate is positive: the decomposition leaves
    the sign open, and a figure must not flip.

    Args:
        vectors: one a row (V, D).
        n: components wanted.

    Returns:
        Coordinates (V, n), and the share of the variance that each component explains (n,).
    """
    centred = np.asarray(vectors, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)  # (V, K), (K,)
    coordinates = left[:, :n] * singular[:n]  # (V, n)
    largest = np.abs(coordinates).argmax(axis=0)
    coordinates = coordinates * np.sign(coordinates[largest, np.arange(coordinates.shape[1])])
    variances = singular**2
    return coordinates, variances[:n] / max(float(variances.sum()), np.finfo(np.float64).tiny)


def embedding_pca(
    vectors: Floats,
    labels: Sequence[str],
    counts: npt.NDArray[np.integer],
    *,
    n_tokens: int = 300,
    n_labels: int = 60,
) -> str:
    """The embeddings of the most common tokens on their first two principal components.

    Labels go to the most common tokens first and only where there is room for them.

    Args:
        vectors: the embedding matrix (V, D).
        labels: each token as it can be printed.
        counts: how often each token occurs (V,); what never occurs is left out.
        n_tokens: most tokens to show.
        n_labels: most labels to write.
    """
    common = np.argsort(-counts, kind="stable")[: min(n_tokens, int((counts > 0).sum()))]
    coordinates, shares = principal_components(vectors[common])
    names = [labels[token] for token in common]
    with _style():
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        axes = figure.subplots()
        kinds = [_kind_of_token(name) for name in names]
        for color, kind in zip(PALETTE, TOKEN_KINDS, strict=True):
            chosen = [index for index, other in enumerate(kinds) if other == kind]
            if chosen:
                x, y = coordinates[chosen].T
                axes.scatter(x, y, s=9, color=color, alpha=0.65, linewidths=0, label=kind)
        axes.set_xlabel(f"first component ({percent(shares[0])} of the variance)")
        axes.set_ylabel(f"second component ({percent(shares[1])})")
        axes.margins(0.08)
        figure.legend(
            loc="outside upper left",
            ncols=len(TOKEN_KINDS),
            handletextpad=0.1,
            columnspacing=0.9,
            markerscale=2,
            borderpad=0,
        )
        figure.draw_without_rendering()  # places the axes, which the labels are measured in
        for index, side in _room_for_labels(axes, coordinates, names, n_labels):
            axes.annotate(
                names[index],
                tuple(coordinates[index]),
                xytext=(3 * side, 2),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                fontsize=8,
                color=PALETTE[TOKEN_KINDS.index(kinds[index])],
            )
        return _svg(figure)


TOKEN_KINDS = ("␣word", "letters", "digits", "signs", "other")


def _kind_of_token(label: str) -> str:
    core = label.lstrip("␣").replace("↵", "")
    if core.isascii() and core.isalpha():
        return "␣word" if label.startswith("␣") else "letters"
    if core.isascii() and core.isdigit():
        return "digits"
    return "signs" if core.isascii() and not core.startswith("\\x") else "other"


def _room_for_labels(
    axes: Axes, coordinates: Floats, names: Sequence[str], most: int
) -> list[tuple[int, int]]:
    """Points with room for a label that touches no earlier one, and its side: 1 right, -1 left."""
    scale = 72 / axes.figure.dpi  # to points, which sizes of letters are given in
    points = axes.transData.transform(coordinates) * scale
    edge = axes.bbox.x1 * scale
    taken: list[tuple[float, float, float, float]] = []
    chosen: list[tuple[int, int]] = []
    for index, (x, y) in enumerate(points):
        width = 2 + 5.6 * len(names[index])
        for side, left in ((1, x + 2), (-1, x - 2 - width)):
            box = (left, y + 1, left + width, y + 11)
            touched = any(
                box[0] <= other[2]
                and other[0] <= box[2]
                and box[1] <= other[3]
                and other[1] <= box[3]
                for other in taken
            )
            if not touched and box[2] < edge and len(chosen) < most:
                taken.append(box)
                chosen.append((index, side))
                break
    return chosen


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
    with _style():
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
        return _svg(figure)


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


def ablation_intervals(table: AblationTable) -> str:
    """Every variant's runs and mean with its interval, and its difference to the baseline."""
    with _style():
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
        return _svg(figure)


def _draw_interval(axes: Axes, place: float, value: Estimate, color: str) -> None:
    if value.low is not None and value.high is not None:
        axes.plot([value.low, value.high], [place, place], color=color, linewidth=2)
    axes.plot([value.mean], [place], marker="D", markersize=5, color=color, linestyle="none")
