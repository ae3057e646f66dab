"""The tokens: how often they stand in the text, and where their embeddings lie."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from variorum.report.figures.style import FAINT, PALETTE, WIDTH, Floats, style, svg_of
from variorum.report.numbers import count, percent


def token_frequencies(counts: Mapping[str, npt.NDArray[np.integer]]) -> str:
    """How often the k-th most common token stands in each text, with both axes logarithmic.

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
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        axes.legend(loc="lower left")
        return svg_of(figure)


def principal_components(vectors: Floats, n: int = 2) -> tuple[Floats, Floats]:
    """Principal component analysis by singular value decomposition (Pearson 1901).

    Each component is turned so that its largest coordinate is positive: the decomposition leaves
    the sign open, and a figure must not flip.

    Args:
        vectors: one a row (V, D).
        n: components wanted; where there are fewer, the others are zero.

    Returns:
        Coordinates (V, n), and the share of the variance that each component explains (n,).
    """
    centred = np.asarray(vectors, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)  # (V, K), (K,)
    missing = max(0, n - len(singular))
    coordinates = np.pad(left * singular, ((0, 0), (0, missing)))[:, :n]  # (V, n)
    largest = np.abs(coordinates).argmax(axis=0)
    coordinates = coordinates * np.sign(coordinates[largest, np.arange(n)])
    variances = np.pad(singular**2, (0, missing))
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
    with style():
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
        return svg_of(figure)


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
