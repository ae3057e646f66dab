"""Draw the model from tokens to logits: its parts in order, with shapes and parameters.

Nothing is drawn from memory. The order and the shapes come from a `trace` of the model itself,
and the weights from its `describe`, so a component that changes shows up by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from variorum.model.description import LayerRow, describe
from variorum.model.gpt import GPT
from variorum.model.position_encoding import PositionEncoding
from variorum.report.figures.boxes import (
    SMALL,
    canvas,
    draw_arrow,
    draw_box,
    finish,
    pale,
    write,
)
from variorum.report.figures.style import FAINT, INK, PALETTE, PAPER, WIDTH, style, svg_of
from variorum.report.numbers import count

FIRST_BLOCK = "h.0."
OWNERS = {"positions": "embedded", "lm_head": "logits", "head": "logits"}
"""The step computed with weights whose module is not called by itself."""
TINTS = {"attn": PALETTE[0], "mlp": PALETTE[1]}


@dataclass(frozen=True)
class DrawnStep:
    """Hold one part of the model, and what it hands on.

    name: as in the trace; the parts of the first block stand for all blocks.
    detail: shapes of its weights, or another remark.
    shape: of what it hands on for one text of T tokens.
    leaves: whether the residual stream branches off from here on, to be added again later.
    joins: whether the branched stream is added to this step's output.
    """

    name: str
    label: str
    detail: str
    shape: str
    parameters: int
    leaves: bool = False
    joins: bool = False

    @property
    def in_block(self) -> bool:
        """Return whether every layer has one."""
        return self.name.startswith(FIRST_BLOCK)

    @property
    def tint(self) -> str:
        """Return the colour of its kind; norms have none."""
        inner = self.name.removeprefix(FIRST_BLOCK)
        if inner.startswith("ln_"):
            return FAINT
        return TINTS.get(inner.split(".")[0], PALETTE[3]) if self.in_block else PALETTE[2]


def steps(model: GPT) -> list[DrawnStep]:
    """Return the steps between tokens and logits, in order; one block stands for all."""
    shapes = _shapes(model)
    rows = _rows_by_step(model, shapes)
    labels, details = _labels(model), _details(model, shapes)
    names = [name for name in shapes if _is_drawn(name, rows, labels)]
    first = model.settings.norm_position == "before"
    branches = ("ln_1", "ln_2") if first else ("attn.c_attn", "mlp.c_fc")
    return [
        DrawnStep(
            name=name,
            label=labels.get(name, name.removeprefix(FIRST_BLOCK)),
            detail=details.get(name) or ", ".join(_weights(row) for row in rows.get(name, ())),
            shape=shapes.get(name.replace(".weights", ".mixed"), ""),
            parameters=sum(row.parameters for row in rows.get(name, ())),
            leaves=name.removeprefix(FIRST_BLOCK) in branches,
            joins=name in (f"{FIRST_BLOCK}attn.c_proj", f"{FIRST_BLOCK}mlp.c_proj"),
        )
        for name in names
    ]


def _shapes(model: GPT) -> dict[str, str]:
    """Return the shape of everything in a trace of one text, by name.

    A size that grows with the text is T.
    """
    device = model.wte.weight.device
    short, long = (
        model.trace(torch.zeros(1, length, dtype=torch.long, device=device)) for length in (1, 2)
    )
    return {
        name: " × ".join(
            "T" if size != other else count(size)
            for size, other in zip(long[name].shape[1:], short[name].shape[1:], strict=True)
        )
        for name in long
        if not name.startswith("h.") or name.startswith(FIRST_BLOCK)
    }


def _rows_by_step(model: GPT, known: Mapping[str, str]) -> dict[str, list[LayerRow]]:
    """Return the weights that each step of the trace computes with."""
    found: dict[str, list[LayerRow]] = {}
    for row in describe(model).rows:
        if row.shapes and (not row.name.startswith("h.") or row.name.startswith(FIRST_BLOCK)):
            owner = row.name if row.name in known else OWNERS.get(row.name.split(".")[0], "logits")
            found.setdefault(owner, []).append(row)
    return found


def _is_drawn(name: str, rows: Mapping[str, object], labels: Mapping[str, str]) -> bool:
    weightless = (f"{FIRST_BLOCK}attn.weights", f"{FIRST_BLOCK}mlp.activation", "logits")
    return name in rows or name in weightless or (name == "embedded" and name in labels)


def _labels(model: GPT) -> dict[str, str]:
    """Return the names of the steps; others go by their module's name."""
    chosen = model.settings
    norm = f"{chosen.norm} norm"
    labels = {
        "wte": "token embedding",
        "shift": "token shift",
        "ln_1": norm,
        "attn.c_attn": "queries, keys, values",
        "attn.weights": f"attention, {chosen.n_head} head" + "s" * (chosen.n_head > 1),
        "attn.c_proj": "projection",
        "ln_2": norm,
        "mlp.c_fc": "feed-forward, in",
        "mlp.activation": chosen.feed_forward.replace("_", " "),
        "mlp.c_proj": "feed-forward, out",
        "ln_f": norm,
        "logits": "output head",
    }
    labels |= {
        f"ngrams.tables.{index}": f"+ {length}-gram embedding"
        for index, length in enumerate(chosen.ngrams)
    }
    if _adds_positions(model):
        labels["embedded"] = f"+ {chosen.positions} positions"
    inner = ("ln_1", "ln_2", "attn.", "mlp.")
    return {
        f"{FIRST_BLOCK}{name}" if name.startswith(inner) else name: label
        for name, label in labels.items()
    }


def _details(model: GPT, shapes: Mapping[str, str]) -> dict[str, str]:
    """Return remarks on steps besides the shapes of their weights."""
    chosen = model.settings
    weights = f"{FIRST_BLOCK}attn.weights"
    inside = [f"weights {shapes[weights]}"]
    if _attends_by_position(model):
        inside.append(f"{chosen.positions} positions")
    if chosen.qk_norm:
        inside.append("normed queries and keys")
    again = {"logits": "the embedding again"} if chosen.tied_head else {}
    return {weights: "\n".join(inside), **again}


def _adds_positions(model: GPT) -> bool:
    """Return whether the position encoding adds to the embeddings."""
    return type(model.positions).embed is not PositionEncoding.embed


def _attends_by_position(model: GPT) -> bool:
    """Return whether it acts on queries and keys, or on their scores."""
    kind = type(model.positions)
    return kind.rotate is not PositionEncoding.rotate or kind.bias is not PositionEncoding.bias


def _weights(row: LayerRow) -> str:
    """Return the shape of a layer's weights; for a linear one, input and output."""
    sizes = [count(size) for size in row.shapes[0]]
    shape = " → ".join(reversed(sizes)) if row.kind == "Linear" else " × ".join(sizes)
    return shape + " + bias" * (len(row.shapes) > 1)


# The drawing

LEFT, RIGHT = 0.62, 4.15  # inches: the boxes' edges; parameters are beyond, right-aligned
MIDDLE = (LEFT + RIGHT) / 2
BYPASS = 0.38  # where the residual stream passes by
FRAME = (0.16, 4.28)  # the edges of what every layer has
MARGIN = WIDTH - 0.06
LINE, PADDING, ARROW = 0.16, 0.1, 0.24  # heights: a line of text, around it, an arrow
JOINT = 0.075  # radius of an addition


def model_diagram(model: GPT) -> str:
    """Draw the parts of a model from tokens to logits, a block once.

    The number of parameters is below.
    """
    parts = steps(model)
    inside = [step for step in parts if step.in_block]
    n_layer = model.settings.n_layer
    with style():
        figure, axes = canvas()
        write(axes, MARGIN, -0.14, "parameters", ha="right", color=FAINT)
        write(axes, MIDDLE, -0.14, "token ids", ha="center", fontweight="bold")
        y = _hand_on(axes, -0.26, f"T ≤ {count(model.settings.context_length)}")
        top = passing = y
        for step in parts:
            if step is inside[0]:
                top, y = y, _hand_on(axes, y, "")
                write(axes, RIGHT, y + ARROW / 2, _layers(n_layer), ha="right", fontweight="bold")
            if step.leaves:
                passing = y + 0.55 * ARROW
            y = _draw_step(axes, y, step)
            if step.joins:
                y = _draw_joint(axes, _hand_on(axes, y, step.shape), passing)
            if step is inside[-1]:
                total = sum(step.parameters for step in inside)
                y = _draw_frame(axes, top, y, f"{n_layer} × {count(total)}")
            y = _hand_on(axes, y, step.shape)
        write(axes, MIDDLE, y - 0.1, "scores of the next token", ha="center", fontweight="bold")
        write(axes, MARGIN, y - 0.1, count(model.n_parameters), ha="right", fontweight="bold")
        finish(figure, axes, WIDTH, 0.24 - y)
        return svg_of(figure)


def _layers(n_layer: int) -> str:
    return "1 layer" if n_layer == 1 else f"× {n_layer} layers"


def _draw_step(axes: Axes, y: float, step: DrawnStep) -> float:
    """Draw a box whose upper edge is at y; return where the next thing begins."""
    height = LINE * (step.detail.count("\n") + 1) + PADDING
    edges = {"facecolor": pale(step.tint), "edgecolor": step.tint}
    draw_box(axes, (LEFT, RIGHT), (y - height, y), **edges)
    middle = y - height / 2
    write(axes, LEFT + 0.09, middle, step.label)
    write(axes, RIGHT - 0.09, middle, step.detail, ha="right", fontsize=SMALL, linespacing=1.3)
    if step.parameters:
        write(axes, MARGIN, middle, count(step.parameters), ha="right")
    return y - height


def _hand_on(axes: Axes, y: float, shape: str) -> float:
    """Draw an arrow down from y, labelled with a shape; return where it ends."""
    draw_arrow(axes, (MIDDLE, y), (MIDDLE, y - ARROW))
    write(axes, MIDDLE + 0.1, y - ARROW / 2, shape, fontsize=SMALL)
    return y - ARROW


def _draw_joint(axes: Axes, y: float, passing: float) -> float:
    """Draw an addition, upper edge at y, of the stream branched off at `passing`."""
    middle = y - JOINT
    corners = [(MIDDLE, passing), (BYPASS, passing), (BYPASS, middle)]
    axes.plot(*zip(*corners, strict=True), color=INK, linewidth=0.9)
    draw_arrow(axes, (BYPASS, middle), (MIDDLE - JOINT, middle))
    axes.add_patch(Circle((MIDDLE, middle), JOINT, facecolor=PAPER, edgecolor=INK, linewidth=0.9))
    axes.plot([MIDDLE], [middle], "+", markersize=6.5, color=INK, markeredgewidth=0.9)
    return y - 2 * JOINT


def _draw_frame(axes: Axes, top: float, y: float, parameters: str) -> float:
    """Draw the frame of a block from `top` to a little below y.

    It is labelled with the parameters of all layers.
    """
    bottom = y - 0.1
    axes.plot([MIDDLE, MIDDLE], [y, bottom], color=INK, linewidth=0.9)
    looks = {"facecolor": "none", "edgecolor": FAINT, "linestyle": "--"}
    draw_box(axes, FRAME, (bottom, top), **looks)
    write(axes, MARGIN, bottom - ARROW / 2, parameters, ha="right")
    return bottom
