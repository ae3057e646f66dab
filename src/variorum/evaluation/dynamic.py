"""Score a text with a model that learns from it while it reads: dynamic evaluation.

After Krause et al. 2018, "Dynamic evaluation of neural sequence models", section 5: the stream is
read in segments. Each is scored by the weights as they are, and only then are they changed by its
gradient:

    w <- w - rate · g / (rms + mean(rms)) + pull · min(1 / pull, rms / mean(rms)) · (w0 - w)

w0 are the trained weights and rms is the root of each weight's mean squared gradient over segments
of the training text, so each weight moves at its own scale; its mean over all weights bounds the
steps of those that these segments hardly touch, such as rows of embeddings. So the model pays for
every token before it learns from it, as an adaptive compressor does, and the two compare.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from variorum.evaluation.bits import Window, windows
from variorum.model.gpt import GPT

SEGMENTS = 128
"""Segments of the training text that root mean squares of gradients come from."""


@dataclass(frozen=True)
class Pace:
    """Say how fast the model learns while it reads, and how strongly it is drawn back."""

    rate: float
    pull: float


@dataclass(frozen=True)
class Reading:
    """Hold what reading a stream needs besides the model.

    eot: the end-of-document token, which the first token is predicted from. segment: tokens that
    are scored, and learned from, at once. rms: root mean squared gradients, by parameter.
    """

    eot: int
    segment: int
    rms: Sequence[Tensor]


def gradient_rms(
    model: GPT, tokens: NDArray[np.integer], *, eot: int, segment: int
) -> list[Tensor]:
    """Return each weight's root mean squared gradient over segments spread evenly in tokens."""
    plan = list(windows(len(tokens), model.settings.context_length, segment))
    step = max(1, len(plan) // SEGMENTS)
    chosen = plan[::step][:SEGMENTS]
    inputs, targets = _stream(tokens, eot)
    squares = [torch.zeros_like(parameter) for parameter in model.parameters()]
    with _learning(model):
        for window in chosen:
            _backward(model, inputs, targets, window)
            for square, parameter in zip(squares, model.parameters(), strict=True):
                if parameter.grad is not None:
                    square += parameter.grad.square()
    return [(square / max(1, len(chosen))).sqrt() for square in squares]


def dynamic_nats(
    model: GPT, tokens: NDArray[np.integer], reading: Reading, pace: Pace
) -> NDArray[np.float64]:
    """Return the nats of every token (N,); the model has its old weights afterwards.

    A pace of rate 0 gives the scores of `bits.score` with the segment as stride.
    """
    found = np.empty(len(tokens))
    inputs, targets = _stream(tokens, reading.eot)
    with _learning(model) as trained:
        mean = _mean(reading.rms)
        for window in windows(len(tokens), model.settings.context_length, reading.segment):
            nats = _backward(model, inputs, targets, window)
            found[window.first : window.end] = nats.detach().cpu().double().numpy()
            with torch.no_grad():
                for parameter, first, rms in zip(
                    model.parameters(), trained, reading.rms, strict=True
                ):
                    if parameter.grad is not None:
                        back = (pace.pull / mean * rms).clamp(max=1.0) * (first - parameter)
                        parameter.sub_(pace.rate * parameter.grad / (rms + mean)).add_(back)
    return found


def best_pace(
    model: GPT, val: NDArray[np.integer], reading: Reading, paces: Sequence[Pace]
) -> Pace:
    """Return the pace by which val costs least; of equal ones the first."""

    def cost(pace: Pace) -> float:
        total = float(dynamic_nats(model, val, reading, pace).sum())
        return total if math.isfinite(total) else math.inf

    return min(paces, key=cost)


def _stream(tokens: NDArray[np.integer], eot: int) -> tuple[Tensor, Tensor]:
    """Return inputs and targets (N,)."""
    inputs = np.concatenate([[eot], tokens[:-1]]).astype(np.int64)
    return torch.from_numpy(inputs), torch.from_numpy(tokens.astype(np.int64))


def _backward(model: GPT, inputs: Tensor, targets: Tensor, window: Window) -> Tensor:
    """Return the nats of a window's scored tokens (S,), and leave the gradients of their mean."""
    device = next(model.parameters()).device
    model.zero_grad()
    logits = model(inputs[window.start : window.end].to(device)[None])[0]
    scored = logits[window.first - window.start :].double()
    nats = functional.cross_entropy(
        scored, targets[window.first : window.end].to(device), reduction="none"
    )
    nats.mean().backward()  # type: ignore[no-untyped-call]
    return nats


def _mean(rms: Sequence[Tensor]) -> float:
    """Return the mean over all weights, or 1 where nothing has a gradient."""
    count = sum(each.numel() for each in rms)
    return sum(float(each.double().sum()) for each in rms) / max(1, count) or 1.0


@contextmanager
def _learning(model: GPT) -> Iterator[list[Tensor]]:
    """Turn off dropout, and give the trained weights, to which the model returns at the end."""
    trained = [parameter.detach().clone() for parameter in model.parameters()]
    was_training = model.training
    model.eval()
    try:
        yield trained
    finally:
        with torch.no_grad():
            for parameter, first in zip(model.parameters(), trained, strict=True):
                parameter.copy_(first)
        model.zero_grad()
        model.train(was_training)
