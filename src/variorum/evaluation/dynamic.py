"""Score a text with a model that learns from it while it reads: dynamic evaluation.

After Krause et al. 2018, "Dynamic evaluation of neural sequence models", sections 4 and 5: the
stream is read in segments. Each is scored by the weights as they are, and only then are they
changed by its gradient g, at most of length 1, and drawn back to the trained weights w0:

    w <- w + pull · (w0 - w) - rate · min(1, 1 / |g|) · g

So the model pays for every token before it learns from it, as an adaptive compressor does, and the
two compare. Rows of a table that no token has looked up yet are as they were, and are left alone.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from variorum.base.errors import VariorumError
from variorum.config.evaluation_settings import DynamicSettings
from variorum.evaluation.bits import Window, windows
from variorum.model.gpt import GPT


@dataclass(frozen=True)
class Adaptation:
    """Say how the model learns while it reads.

    rate: how far a segment moves the weights. pull: how strongly they are drawn back, in [0, 1].
    segment: tokens that are scored, and learned from, at once.
    """

    rate: float
    pull: float
    segment: int


def dynamic_nats(
    model: GPT, tokens: NDArray[np.integer], *, eot: int, adaptation: Adaptation
) -> NDArray[np.float64]:
    """Return the nats of every token (N,); the model has its old weights afterwards.

    A rate of 0 gives the scores of `bits.score` with the segment as stride. eot: the
    end-of-document token, which the first token is predicted from.

    Raises:
        VariorumError: if a token's cost is not finite, because the model diverged.
    """
    found = np.empty(len(tokens))
    # The input at each place has the next token as its target.
    stream = np.concatenate([np.array([eot], dtype=tokens.dtype), tokens])
    with _learning(model) as learner:
        for window in windows(len(tokens), model.settings.context_length, adaptation.segment):
            nats = _backward(model, stream, window)
            found[window.first : window.end] = nats.detach().cpu().double().numpy()
            learner.learn(adaptation)
    if not math.isfinite(found.sum()):
        raise VariorumError(
            f"dynamic: the model diverges while it learns from the text at rate "
            f"{adaptation.rate:g}; give dynamic.rates smaller ones"
        )
    return found


def best_adaptation(
    model: GPT, val: NDArray[np.integer], settings: DynamicSettings, *, eot: int
) -> Adaptation:
    """Return the adaptation by which the beginning of val costs least.

    The rate is chosen first, with the middle pull, and then the pull; of equal ones the first.
    Where the model diverges it costs most.

    Raises:
        VariorumError: if it diverges at every rate.
    """
    read, pulls = val[: settings.val_tokens], settings.pulls
    segment = min(settings.segment, model.settings.context_length)

    def cost(adaptation: Adaptation) -> float:
        try:
            return float(dynamic_nats(model, read, eot=eot, adaptation=adaptation).sum())
        except VariorumError:
            return math.inf

    middle = pulls[len(pulls) // 2]
    costs = {
        adaptation: cost(adaptation)
        for adaptation in (Adaptation(rate, middle, segment) for rate in settings.rates)
    }
    if min(costs.values()) == math.inf:
        raise VariorumError(
            f"dynamic: the model diverges on val at every rate, "
            f"{', '.join(f'{rate:g}' for rate in settings.rates)}; give dynamic.rates smaller "
            "ones, or 0"
        )
    rate = min(costs, key=costs.__getitem__).rate
    others = [Adaptation(rate, pull, segment) for pull in pulls if pull != middle]
    costs |= {adaptation: cost(adaptation) for adaptation in others}
    return min(costs, key=costs.__getitem__)


def _backward(model: GPT, stream: NDArray[np.integer], window: Window) -> Tensor:
    """Return the nats of a window's scored tokens (S,); leave their mean's gradients."""
    device = next(model.parameters()).device
    model.zero_grad()
    logits = model(_ids(stream, window.start, window.end).to(device)[None])[0]
    scored = logits[window.first - window.start :].double()
    targets = _ids(stream, window.first + 1, window.end + 1).to(device)
    nats = functional.cross_entropy(scored, targets, reduction="none")
    nats.mean().backward()  # type: ignore[no-untyped-call]
    return nats


def _ids(stream: NDArray[np.integer], start: int, end: int) -> Tensor:
    """Return tokens of a stream as a model takes them, in int64 (end - start,)."""
    return torch.from_numpy(stream[start:end].astype(np.int64))


class _Learner:
    """Move weights by their gradients, and back towards the trained ones."""

    def __init__(self, model: GPT) -> None:
        self._weights = list(model.parameters())
        self._trained = [weight.detach().clone() for weight in self._weights]
        self._touched: dict[int, Tensor] = {}  # the rows of tables looked up so far, by weight

    @torch.no_grad()
    def learn(self, adaptation: Adaptation) -> None:
        """Take one step by the gradients that the weights have."""
        changed = [
            self._with_gradient(number, weight.grad)
            for number, weight in enumerate(self._weights)
            if weight.grad is not None
        ]
        length = math.hypot(*(float(torch.linalg.vector_norm(each)) for _, _, each in changed))
        step = adaptation.rate / max(1.0, length)
        for number, rows, gradient in changed:
            weight, trained = self._weights[number], self._trained[number]
            if rows is None:
                weight.lerp_(trained, adaptation.pull).sub_(gradient, alpha=step)
            else:
                moved = torch.lerp(weight[rows], trained[rows], adaptation.pull)
                weight[rows] = moved.sub_(gradient, alpha=step)

    def _with_gradient(self, number: int, gradient: Tensor) -> tuple[int, Tensor | None, Tensor]:
        """Return a weight's number, the rows to move (None: all) and their gradient."""
        if not gradient.is_sparse:
            return number, None, gradient
        gradient = gradient.coalesce()
        now, values = gradient.indices()[0], gradient.values()
        rows = torch.unique(torch.cat([self._touched.get(number, now), now]))
        self._touched[number] = rows
        of_rows = values.new_zeros(len(rows), values.shape[1])
        of_rows[torch.searchsorted(rows, now)] = values
        return number, rows, of_rows

    @torch.no_grad()
    def restore(self) -> None:
        """Set the weights to the trained ones again."""
        for weight, trained in zip(self._weights, self._trained, strict=True):
            weight.copy_(trained)


@contextmanager
def _learning(model: GPT) -> Iterator[_Learner]:
    """Yield what learns; restore the weights, and dropout, at the end."""
    learner, was_training = _Learner(model), model.training
    model.eval()
    try:
        yield learner
    finally:
        learner.restore()
        model.zero_grad()
        model.train(was_training)
