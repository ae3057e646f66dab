"""Why norms stand before each part: gradients by layer, before the first step of training.

    python docs/learn/experiments/norms.py

Models of 12 layers and 64 channels read random tokens, and the loss is taken backwards once. Their
weights are drawn with variance 1 / inputs, as is usual for the first Transformer; GPT-2's smaller
ones hide part of what is to be seen.
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure

from variorum.config.model_settings import ModelSettings
from variorum.model.gpt import GPT
from variorum.report.figures.style import PALETTE, WIDTH, style, svg_of

IMAGE = Path(__file__).parents[1] / "images/norms.svg"
DEPTHS = (3, 6, 12, 24)
VOCABULARY, LENGTH, WINDOWS = 512, 64, 8


def model_of(n_layer: int, norm_position: str) -> GPT:
    """A model with the norms `before` or `after` each part, and weights of variance 1 / inputs."""
    settings = ModelSettings(
        n_layer=n_layer, n_head=4, n_embd=64, context_length=LENGTH, norm_position=norm_position
    )
    model = GPT(settings, VOCABULARY)
    draw = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5, generator=draw)
    return model


def gradients(n_layer: int, norm_position: str) -> list[float]:
    """The norm of the gradient of each layer's last matrix, from the first layer on."""
    model = model_of(n_layer, norm_position)
    draw = torch.Generator().manual_seed(2)
    ids = torch.randint(VOCABULARY, (WINDOWS, LENGTH + 1), generator=draw)
    model.loss(ids[:, :-1], ids[:, 1:]).backward()
    return [float(block.mlp.c_proj.weight.grad.norm()) for block in model.blocks()]


def draw(found: dict[str, list[float]]) -> str:
    """The gradient of each layer, for both places."""
    with style():
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        axes = figure.subplots()
        for (name, norms), color in zip(found.items(), PALETTE, strict=False):
            axes.plot(range(1, len(norms) + 1), norms, marker="o", color=color, label=name)
        axes.set_xlabel("layer")
        axes.set_ylabel("norm of the gradient")
        axes.set_ylim(0)
        axes.legend(title="norm_position")
        return svg_of(figure)


def main() -> None:
    print("gradient of the last layer's last matrix")
    print("layers  before   after")
    for n_layer in DEPTHS:
        before, after = (gradients(n_layer, place)[-1] for place in ("before", "after"))
        print(f"{n_layer:6}  {before:6.3f}  {after:6.3f}")
    found = {place: gradients(12, place) for place in ("before", "after")}
    IMAGE.write_text(draw(found), encoding="utf-8")


if __name__ == "__main__":
    main()
