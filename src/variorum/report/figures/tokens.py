"""Draw the tokens: their frequencies, and the place of their embeddings."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import Affine2D, Bbox, BboxBase

from variorum.corpus.unicode14 import LETTERS, NUMBERS
from variorum.report.figures.style import FAINT, PALETTE, WIDTH, Floats, style, svg_of
from variorum.report.numbers import count, percent


def token_frequencies(counts: Mapping[str, npt.NDArray[np.integer]]) -> str:
    """Draw the share of the k-th most common token in each text, on logarithmic axes.

    A straight line of slope -1 is Zipf's law (Zipf 1949).

    Args:
        counts: by the text's name, how often each token of the vocabulary occurs (V,).
    """
    with style():
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
        axes.yaxis.set_major_formatter(FuncFormatter(_power_as_percent))
        axes.legend(loc="lower left")
        return svg_of(figure)


def _power_as_percent(share: float, _: int | None = None) -> str:
    """Return a power of ten with the decimals that it needs: `1 %`, `0.01 %`."""
    return percent(share, max(0, -2 - math.floor(math.log10(share))))


@dataclass(frozen=True)
class Components:
    """Hold principal components: the vectors' `mean` (D,) and the `directions` (n, D)."""

    mean: Floats
    directions: Floats

    def project(self, vectors: Floats) -> Floats:
        """Return coordinates (V, n) of vectors (V, D)."""
        coordinates: Floats = (vectors - self.mean) @ self.directions.T
        return coordinates

    def shares(self, vectors: Floats) -> Floats:
        """Return each component's share (n,) of the variance of vectors (V, D)."""
        total = max(float(vectors.var(axis=0).sum()), np.finfo(np.float64).tiny)
        shares: Floats = self.project(vectors).var(axis=0) / total
        return shares


def principal_components(vectors: Floats, n: int = 2) -> Components:
    """Compute principal components by singular value decomposition (Pearson 1901).

    Each component is turned so that the largest coordinate is positive: the decomposition leaves
    the sign open, and a figure must not flip.

    Args:
        vectors: one a row (V, D).
        n: components wanted; where there are fewer, the others are zero.
    """
    mean = vectors.mean(axis=0)
    left, singular, right = np.linalg.svd(vectors - mean, full_matrices=False)  # (V, K), (K,)
    largest = np.abs(left).argmax(axis=0)
    signs = np.sign(left[largest, np.arange(len(singular))])
    directions = (right * signs[:, None])[:n]  # (n, D)
    return Components(mean, np.pad(directions, ((0, n - len(directions)), (0, 0))))


def embedding_pca(
    embeddings: Mapping[str, Floats],
    labels: Sequence[str],
    counts: npt.NDArray[np.integer],
    *,
    n_tokens: int = 200,
    n_labels: int = 60,
) -> str:
    """Draw the commonest tokens' embeddings on the first two principal components.

    The first model gives the components. A second one is projected on them as well, with a
    line from where each token was. Labels go to the most common tokens first, and only where there
    is room for them in every panel.

    Args:
        embeddings: by the model, its embedding matrix (V, D); one or two.
        labels: each token as it can be printed; one that spells nothing, the special one, is left
            out.
        counts: how often each token occurs (V,); a token that never occurs is left out.
        n_tokens: most tokens to show.
        n_labels: most labels to write.
    """
    counts = np.where([bool(label) for label in labels], counts, 0)
    common = np.argsort(-counts, kind="stable")[: min(n_tokens, int((counts > 0).sum()))]
    shown = {name: np.asarray(each[common], dtype=np.float64) for name, each in embeddings.items()}
    components = principal_components(next(iter(shown.values())))
    places = [components.project(vectors) for vectors in shown.values()]  # each (V, 2)
    names = [labels[token] for token in common]
    with style():
        figure = Figure(figsize=(WIDTH, 4.6 if len(shown) == 1 else 3.9), layout="constrained")
        panels = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (name, vectors), coordinates in zip(panels, shown.items(), places, strict=True):
            _draw_tokens(axes, coordinates, names)
            first, second = (percent(share) for share in components.shares(vectors))
            axes.set_xlabel(f"component 1 ({first})")
            axes.set_ylabel(f"component 2 ({second})")
            if len(shown) > 1:
                axes.set_title(name)
        if len(shown) > 1:
            _draw_moves(panels[-1], *places)
        panels[0].margins(0.08)
        _draw_legend(figure, panels[0])
        figure.draw_without_rendering()  # places the axes, which the labels are measured in
        _write_labels(panels, places, names, n_labels)
        return svg_of(figure)


def _draw_tokens(axes: Axes, coordinates: Floats, names: Sequence[str]) -> None:
    kinds = np.array([_kind_of_token(name) for name in names])
    for color, kind in zip(PALETTE, TOKEN_KINDS, strict=True):
        if (kinds == kind).any():
            x, y = coordinates[kinds == kind].T
            axes.scatter(x, y, s=9, color=color, alpha=0.65, linewidths=0, label=kind)


def _draw_legend(figure: Figure, axes: Axes) -> None:
    """Draw the kinds of tokens above the panels; `axes` is one of them."""
    handles, kinds = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        kinds,
        loc="outside upper left",
        ncols=len(TOKEN_KINDS),
        handletextpad=0.1,
        columnspacing=0.9,
        markerscale=2,
        borderpad=0,
    )


def _draw_moves(axes: Axes, before: Floats, after: Floats) -> None:
    """Draw lines from old to new places, both (V, 2), as one path."""
    gaps = np.full_like(before, np.nan)
    x, y = np.stack([before, after, gaps], axis=1).reshape(-1, 2).T
    axes.plot(x, y, color=FAINT, linewidth=0.5, zorder=0.9)


TOKEN_KINDS = ("␣word", "letters", "digits", "signs", "other")
OF_LETTERS = re.compile(f"[{LETTERS}]+")
OF_NUMBERS = re.compile(f"[{NUMBERS}]+")


def _kind_of_token(label: str) -> str:
    core = label.lstrip("␣").replace("↵", "")
    if OF_LETTERS.fullmatch(core):
        return "␣word" if label.startswith("␣") else "letters"
    if OF_NUMBERS.fullmatch(core):
        return "digits"
    return "signs" if core.isascii() and not core.startswith("\\x") else "other"


def _write_labels(
    panels: Sequence[Axes], places: Sequence[Floats], names: Sequence[str], most: int
) -> None:
    """Write the names of points that have room in all panels."""
    for index, sides in _room_for_labels(panels, places, names, most):
        for axes, coordinates, side in zip(panels, places, sides, strict=True):
            axes.annotate(
                names[index],
                tuple(coordinates[index]),
                xytext=(3 * side, 2),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                fontsize=8,
                color=PALETTE[TOKEN_KINDS.index(_kind_of_token(names[index]))],
            )


def _room_for_labels(
    panels: Sequence[Axes], places: Sequence[Floats], names: Sequence[str], most: int
) -> list[tuple[int, tuple[int, ...]]]:
    """Choose points whose label touches no earlier one in any panel.

    Returns each with the label's side in each panel: 1 right, -1 left.
    places: the points' coordinates (V, 2) in each panel.
    """
    taken: list[list[Bbox]] = [[] for _ in panels]
    chosen: list[tuple[int, tuple[int, ...]]] = []
    scale = Affine2D().scale(72 / panels[0].figure.dpi)  # to points, as letters are measured
    points = [
        (axes.transData + scale).transform(coordinates)
        for axes, coordinates in zip(panels, places, strict=True)
    ]
    grounds = [axes.bbox.transformed(scale) for axes in panels]
    for index, name in enumerate(names):
        found = [
            _free_side(each[index], name, boxes, ground)
            for each, boxes, ground in zip(points, taken, grounds, strict=True)
        ]
        if len(chosen) < most and all(found):
            for boxes, (_, box) in zip(taken, filter(None, found), strict=True):
                boxes.append(box)
            chosen.append((index, tuple(side for side, _ in filter(None, found))))
    return chosen


def _free_side(
    point: Floats, name: str, taken: Sequence[Bbox], ground: BboxBase
) -> tuple[int, Bbox] | None:
    """Return a free side of the point, and the label's box; or None."""
    x, y = point
    width = 2 + 5.6 * len(name)
    for side, left in ((1, x + 2), (-1, x - 2 - width)):
        box = Bbox([[left, y + 1], [left + width, y + 11]])
        inside = ground.x0 < box.x0 and box.x1 < ground.x1
        if inside and not any(box.overlaps(other) for other in taken):
            return side, box
    return None
