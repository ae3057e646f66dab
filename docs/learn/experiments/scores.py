"""Why dot products are scaled: their spread grows with the head, and the softmax saturates.

    python docs/learn/experiments/scores.py

Queries and keys of D independent numbers with mean 0 and variance 1, 32 keys for each query.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from variorum.report.figures.style import PALETTE, WIDTH, style, svg_of

IMAGE = Path(__file__).parents[1] / "images/scores.svg"
SIZES = (4, 16, 64, 256, 1024)
QUERIES, KEYS = 2000, 32


@dataclass(frozen=True)
class Seen:
    """What a softmax makes of scores: means over queries.

    spread: standard deviation of the scores. largest: the largest weight. gradient: the norm of
    the derivative of the largest weight by the scores.
    """

    spread: float
    largest: float
    gradient: float


def random_scores(size: int, *, scaled: bool) -> Tensor:
    """Products (QUERIES, KEYS) of random queries and keys with `size` channels."""
    draw = torch.Generator().manual_seed(size)
    queries = torch.randn(QUERIES, 1, size, generator=draw)
    keys = torch.randn(QUERIES, KEYS, size, generator=draw)
    scores = (queries * keys).sum(2)  # (QUERIES, KEYS)
    return scores / math.sqrt(size) if scaled else scores


def seen(scores: Tensor) -> Seen:
    """Measure the softmax of scores (QUERIES, KEYS)."""
    weights = scores.softmax(1)
    largest, place = weights.max(1)
    # the derivative of weight i by score j: w_i (1 - w_i) for j = i, else - w_i w_j
    own = torch.zeros_like(weights).scatter_(1, place[:, None], 1.0)
    gradient = largest[:, None] * (own - weights)
    return Seen(float(scores.std()), float(largest.mean()), float(gradient.norm(dim=1).mean()))


def draw(plain: list[Seen], scaled: list[Seen]) -> str:
    """The largest weight, and the norm of its gradient, by the size of a head."""
    with style():
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for rows, name, color in ((plain, "q · k", PALETTE[1]), (scaled, "q · k / √D", PALETTE[0])):
            left.plot(SIZES, [row.largest for row in rows], marker="o", color=color, label=name)
            right.plot(SIZES, [row.gradient for row in rows], marker="o", color=color)
        left.set_title("largest weight")
        right.set_title("its gradient")
        left.set_ylim(0, 1.05)
        right.set_ylim(0)
        left.legend(loc="center right")
        for axes in (left, right):
            axes.set_xscale("log", base=4)
            axes.set_xticks(SIZES, [str(size) for size in SIZES])
            axes.set_xlabel("D, channels of a head")
        return svg_of(figure)


def main() -> None:
    plain = [seen(random_scores(size, scaled=False)) for size in SIZES]
    scaled = [seen(random_scores(size, scaled=True)) for size in SIZES]
    print("         q · k                       q · k / √D")
    print("   D     spread  largest  gradient   spread  largest  gradient")
    for size, *both in zip(SIZES, plain, scaled, strict=True):
        cells = (f"{row.spread:8.2f} {row.largest:8.2f} {row.gradient:9.3f}" for row in both)
        print(f"{size:4}  ", *cells)
    IMAGE.write_text(draw(plain, scaled), encoding="utf-8")


if __name__ == "__main__":
    main()
