"""Draw the provenance, from the sources to the page: which result made which.

The results are layered by their longest path from a source (Sugiyama et al. 1981): one row under
another, so that every arrow points down. Where an arrow passes rows, it has a place in each of
them, so it runs between boxes. An arrow that others imply is left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from variorum.report.figures.boxes import SMALL, canvas, draw_arrow, draw_box, finish, pale, write
from variorum.report.figures.style import FAINT, PALETTE, WIDTH, style, svg_of
from variorum.report.naming import FINETUNED, PRETRAINED

BOX, LANE, GAP = 1.06, 0.1, 0.09  # inches across: a result, a passing arrow, between them
LINE, PADDING, ROW_GAP = 0.15, 0.12, 0.42  # inches down: a line of text, around it, between rows
SWEEPS = 8  # of the search for an order with few crossings
COLORS = {"text": PALETTE[2], PRETRAINED: PALETTE[0], FINETUNED: PALETTE[1]}


@dataclass(frozen=True)
class DrawnNode:
    """Hold a result: its name among the edges, its stage, its label, and its key.

    kind: `text`, or the model that it is; empty: what is made of models.
    """

    name: str
    stage: str
    label: str
    key: str
    kind: str = ""

    @property
    def lines(self) -> list[str]:
        """Return the lines in its box."""
        label = self.label.replace(" on ", "\non ").split("\n") if self.label else []
        return [self.stage, *label, self.key]


Edge = tuple[str, str]
"""From a result to one that was made from it, by their names."""

Place = tuple[str, int]
"""A place in a row: a result, or further down, arrows from it that pass by."""

Way = list[Place]
"""An arrow from row to row."""


@dataclass(frozen=True)
class GraphLayout:
    """Hold the positions of all: `rows` from the top, and each place's middle across.

    ways: the arrows. width: of the widest row, or of the page.
    """

    rows: list[list[Place]]
    boxes: dict[Place, str]
    ways: list[Way]
    x: dict[Place, float]
    width: float


def provenance_graph(nodes: Sequence[DrawnNode], edges: Sequence[Edge]) -> str:
    """Draw the results as boxes, sources on top, with arrows to what they made.

    Args:
        nodes: the results; their order decides where there is a choice.
        edges: pairs of their names, without cycles.
    """
    by_name = {node.name: node for node in nodes}
    placed = layout(list(by_name), edges)
    with style():
        figure, axes = canvas()
        y = -0.04
        ends = []  # of each row: its upper and its lower edge
        for row in placed.rows:
            lines = max(len(by_name[name].lines) for name in _names(row, placed))
            ends.append((y, y - LINE * lines - PADDING))
            y = ends[-1][1] - ROW_GAP
        for way in placed.ways:
            _draw_way(axes, [(placed.x[place], *ends[place[1]]) for place in way])
        for place, name in placed.boxes.items():
            _draw_node(axes, by_name[name], placed.x[place], *ends[place[1]])
        finish(figure, axes, placed.width, 0.04 - ends[-1][1])
        return svg_of(figure)


def _names(row: Iterable[Place], placed: GraphLayout) -> list[str]:
    return [placed.boxes[place] for place in row if place in placed.boxes]


def layout(names: Sequence[str], edges: Sequence[Edge]) -> GraphLayout:
    """Return a place for each result, and a way for each unimplied arrow."""
    needed = {name: list(dict.fromkeys(a for a, b in edges if b == name)) for name in names}
    depths = _depths(needed)
    boxes = {(name, depth): name for name, depth in depths.items()}
    ways = [
        [*((above, row) for row in range(depths[above], depths[name])), (name, depths[name])]
        for name, all_above in without_implied(needed).items()
        for above in all_above
    ]
    rows = _in_order(_rows([*boxes, *(place for way in ways for place in way)]), ways)
    widths = [[BOX if place in boxes else LANE for place in row] for row in rows]
    width = max(WIDTH, *(sum(row) + GAP * (len(row) + 1) for row in widths))
    x: dict[Place, float] = {}
    for row, row_widths in zip(rows, widths, strict=True):
        left = (width - sum(row_widths) - GAP * (len(row) - 1)) / 2
        for place, each in zip(row, row_widths, strict=True):
            x[place] = left + each / 2
            left += each + GAP
    return GraphLayout(rows, boxes, ways, x, width)


def without_implied(needed: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return each result's needs without the needs of its needs (Aho et al. 1972)."""
    below: dict[str, set[str]] = {}

    def all_below(name: str) -> set[str]:
        if name not in below:
            below[name] = set(needed[name]).union(*(all_below(other) for other in needed[name]))
        return below[name]

    return {
        name: [each for each in direct if not any(each in all_below(other) for other in direct)]
        for name, direct in needed.items()
    }


def _depths(needed: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return the longest path of each result from a source."""

    @cache
    def depth(name: str) -> int:
        return max((depth(other) + 1 for other in needed[name]), default=0)

    return {name: depth(name) for name in needed}


def _rows(places: Iterable[Place]) -> list[list[Place]]:
    """Return the places by rows, each once."""
    each_once = dict.fromkeys(places)
    n_rows = 1 + max(row for _, row in each_once)
    return [[place for place in each_once if place[1] == row] for row in range(n_rows)]


def _in_order(rows: list[list[Place]], ways: Iterable[Way]) -> list[list[Place]]:
    """Sort the rows so that few arrows cross: each place to its neighbours' mean."""
    above: dict[Place, set[Place]] = {place: set() for row in rows for place in row}
    below: dict[Place, set[Place]] = {place: set() for row in rows for place in row}
    for way in ways:
        for upper, lower in pairwise(way):
            above[lower].add(upper)
            below[upper].add(lower)
    for sweep in range(SWEEPS):
        neighbours, order = (below, reversed(rows)) if sweep % 2 else (above, iter(rows))
        for row in order:
            middles = {place: _middle(place, rows, neighbours[place]) for place in row}
            row.sort(key=middles.__getitem__)
    return rows


def _middle(place: Place, rows: Sequence[Sequence[Place]], neighbours: Iterable[Place]) -> float:
    """Return the mean position of a place's neighbours, from 0 left to 1 right.

    Without any, its own position.
    """
    shares = [(rows[row].index((name, row)) + 0.5) / len(rows[row]) for name, row in neighbours]
    own = rows[place[1]]
    return sum(shares) / len(shares) if shares else (own.index(place) + 0.5) / len(own)


def _draw_way(axes: Axes, stops: Sequence[tuple[float, float, float]]) -> None:
    """Draw a curve through each place's middle and edges, with a tip at its end."""
    x, _, y = stops[0]
    points, codes = [(x, y)], [Path.MOVETO]
    for place, top, bottom in stops[1:]:
        half = (y - top) / 2
        points += [(x, y - half), (place, top + half), (place, top)]
        codes += 3 * [Path.CURVE4]
        points.append((place, bottom))
        codes.append(Path.LINETO)
        x, y = place, bottom
    path = Path(points[:-1], codes[:-1])
    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=FAINT, linewidth=0.9))
    draw_arrow(axes, (place, top + 0.02), (place, top))


def _draw_node(axes: Axes, node: DrawnNode, x: float, top: float, bottom: float) -> None:
    color = COLORS.get(node.kind, FAINT)
    sides = (x - BOX / 2, x + BOX / 2)
    draw_box(axes, sides, (bottom, top), facecolor=pale(color), edgecolor=color)
    middle = (top + bottom) / 2 + LINE * (len(node.lines) - 1) / 2
    looks = [{"fontweight": "bold"}, *[{}] * (len(node.lines) - 2), {"family": "monospace"}]
    for index, (line, look) in enumerate(zip(node.lines, looks, strict=True)):
        write(axes, x, middle - LINE * index, line, ha="center", fontsize=SMALL, **look)
