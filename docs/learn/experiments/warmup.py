"""Why warmup: how far Adam's first steps go when gradients say nothing.

    python docs/learn/experiments/warmup.py

Each of 100,000 weights has gradients of mean 0 and variance 1, drawn anew at every step: noise, of
which nothing can be learned. The step is Adam's with betas of 0.9 and 0.99; its size is the root
mean square over the weights, in units of the learning rate.
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure

from variorum.config.training_settings import TrainingSettings
from variorum.report.figures.style import PALETTE, WIDTH, style, svg_of
from variorum.training.optimizers import adamw
from variorum.training.warmup import risen

IMAGE = Path(__file__).parents[1] / "images/warmup.svg"
WEIGHTS, STEPS, SHOWN = 100_000, 60, (1, 2, 5, 10, 20, 60)


def step_sizes(warmup_steps: int) -> list[float]:
    """The size of each step, in units of the highest rate."""
    settings = TrainingSettings(
        learning_rate=1.0,
        min_learning_rate=1.0,
        warmup_steps=warmup_steps,
        max_steps=STEPS,
        weight_decay=0.0,
    )
    draw = torch.Generator().manual_seed(1)
    states = [torch.zeros(WEIGHTS) for _ in adamw.STATES]
    sizes = []
    for step in range(1, STEPS + 1):
        moved = torch.zeros(WEIGHTS)
        noise = torch.randn(WEIGHTS, generator=draw)
        rate = risen(step, settings) if step <= warmup_steps else settings.learning_rate
        adamw.move(moved, noise, states, step, rate, settings)
        sizes.append(float(moved.square().mean().sqrt()))
    return sizes


def draw_sizes(plain: list[float], warmed: list[float]) -> str:
    """The size of each step, without warmup and with 20 steps of it."""
    with style():
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(range(1, STEPS + 1), plain, color=PALETTE[1], label="no warmup")
        axes.plot(range(1, STEPS + 1), warmed, color=PALETTE[0], label="20 steps of warmup")
        axes.set_xlabel("step")
        axes.set_ylabel("size of the step / rate")
        axes.set_ylim(0)
        axes.legend()
        return svg_of(figure)


def main() -> None:
    plain, warmed = step_sizes(0), step_sizes(20)
    print("step  no warmup  20 steps of warmup")
    for step in SHOWN:
        print(f"{step:4}  {plain[step - 1]:9.2f}  {warmed[step - 1]:18.2f}")
    IMAGE.write_text(draw_sizes(plain, warmed), encoding="utf-8")


if __name__ == "__main__":
    main()
