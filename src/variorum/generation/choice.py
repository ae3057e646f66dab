"""Choose the next token by its logits: temperature, top-k, top-p, min-p, and one random number.

By definition all tokens are sorted in float64, and the random number falls into one's share of the
sum. But most of a vocabulary has next to no probability, and sorting it takes longest. So only
tokens that may decide are sorted. The sum over all others is computed in float32; wherever a
decision is as close as `MARGIN`, everything is sorted after all. So the tokens are always the
definition's (`tests/oracles/sampling.py`).
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from variorum.base.errors import VariorumError
from variorum.config.evaluation_settings import SamplingSettings
from variorum.generation.reading import Logits

MARGIN = 1e-5
"""Share of the sum below which a decision may be the rounding's; float32 sums err by 2e-6."""

TEMPERATURES = (1e-6, 1e6)
"""Beyond them, differences of logits over the temperature may leave float32's range."""

BLOCK = 64  # numbers drawn at once

Sums = npt.NDArray[np.float64]


class Numbers:
    """Draw uniform numbers in [0, 1), from a generator that a seed begins."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._waiting: list[float] = []

    def next(self) -> float:
        """Return the next number: the same in blocks as one by one."""
        if not self._waiting:
            block = torch.rand(BLOCK, dtype=torch.float64, generator=self._generator)
            self._waiting = block.tolist()[::-1]
        return self._waiting.pop()


def next_tokens(
    logits: Logits, settings: Sequence[SamplingSettings], numbers: Sequence[Numbers]
) -> list[int]:
    """Choose the next token of each text by its logits (B, V).

    These are steps 3 to 6 of `sampler`. Temperature 0 takes the likeliest and draws nothing.
    Otherwise one number is drawn. Of equal logits the lowest id comes first, in top-k too. No text
    depends on another.

    Raises:
        VariorumError: if the logits are not numbers, as after a training that diverged.
    """
    best = logits.max(axis=1)
    if not np.isfinite(best).all():  # the maximum is NaN if any of them is
        wrong = best[~np.isfinite(best)][0]
        raise VariorumError(
            f"the model's largest logit is {wrong}: its weights are not finite numbers; "
            "use a checkpoint from before the training diverged"
        )
    tokens = [-1] * len(logits)  # -1: not chosen yet
    drawn = [0.0] * len(logits)
    for row, (how, source) in enumerate(zip(settings, numbers, strict=True)):
        if how.temperature == 0:
            tokens[row] = int(logits[row].argmax())
        else:
            drawn[row] = source.next()
    rows = [row for row, how in enumerate(settings) if _is_usual(how)]
    if rows:
        every = len(rows) == len(logits)
        part, highest = (logits, best) if every else (logits[rows], best[rows])
        found = _among_likely(
            part, highest, [settings[row] for row in rows], [drawn[row] for row in rows]
        )
        for row, token in zip(rows, found, strict=True):
            tokens[row] = token
    return [
        _among_all(logits[row], settings[row], drawn[row]) if token < 0 else token
        for row, token in enumerate(tokens)
    ]


def _is_usual(settings: SamplingSettings) -> bool:
    return TEMPERATURES[0] <= settings.temperature <= TEMPERATURES[1]


def _among_all(logits: Logits, settings: SamplingSettings, number: float) -> int:
    """Sort all tokens, as defined."""
    given = torch.from_numpy(logits).double()
    scores = (given - given.max()) / settings.temperature  # at most 0, so nothing overflows
    scores, ids = scores.sort(descending=True, stable=True)
    shares = scores[: settings.top_k].softmax(0)
    summed = shares.cumsum(0)
    kept = int(torch.searchsorted(summed, settings.top_p * summed[-1])) + 1
    kept = min(kept, int((shares >= settings.min_p * shares[0]).sum()))
    place = int(torch.searchsorted(summed, number * summed[kept - 1], right=True))
    return int(ids[min(place, kept - 1)])  # the product can round up to the end


def _among_likely(
    logits: Logits,
    best: Logits,
    settings: Sequence[SamplingSettings],
    drawn: Sequence[float],
) -> list[int]:
    """Sort only tokens that may decide; the result is -1 where rounding might."""
    temperatures = np.array([[how.temperature] for how in settings], logits.dtype)  # (B, 1)
    weights: npt.NDArray[np.floating[Any]] = logits - best[:, None]
    with np.errstate(over="ignore"):  # to a weight of 0
        weights /= temperatures
    weights = np.exp(weights.astype(np.float32, copy=False))
    totals = np.add.reduce(weights, axis=1).tolist()
    return [
        _token(*each)
        for each in zip(logits, best.tolist(), weights, totals, settings, drawn, strict=True)
    ]


def _token(
    logits: Logits,
    best: float,
    weights: Logits,
    total: float,
    settings: SamplingSettings,
    number: float,
) -> int:
    """Return the token that `number` hits, or -1 where rounding might decide."""
    top_k = settings.top_k
    if top_k is not None and top_k < len(logits):
        mask = _highest(logits, best, top_k)
    else:
        top_k, mask = None, weights >= _floor(settings, total, number, len(logits))
    ids = mask.nonzero()[0]
    scores = (logits[ids].astype(np.float64) - best) / settings.temperature
    order = (-scores).argsort(kind="stable")[:top_k]
    exact = np.exp(scores[order])  # the likeliest has 1
    place = _decide(exact, total if top_k is None else None, settings, number)
    return -1 if place < 0 else int(ids[order[place]])


def _floor(settings: SamplingSettings, total: float, number: float, size: int) -> float:
    """Return the weight below which no token decides, without top-k.

    Tokens below (1 - p) / V of the sum have less than 1 - p of it together: the others reach p.
    """
    p, floor = settings.top_p, settings.min_p
    if p < 1 or not floor:
        floor = max(floor, total * (1 - (p if p < 1 else number)) / size)
    return 0.99 * floor


def _highest(logits: Logits, best: float, count: int) -> npt.NDArray[np.bool_]:
    """Return a mask of the highest logits, and of those that rounding makes their equals."""
    least = float(np.partition(logits, -count)[-count])
    mask: npt.NDArray[np.bool_] = logits >= least - 1e-6 * (best - least)
    return mask


def _decide(weights: Sums, total: float | None, settings: SamplingSettings, number: float) -> int:
    """Return the place of the token that `number` hits, by weights of the likeliest, falling.

    It is -1 where rounding might decide. total: the weight of all tokens; None: there are no more.
    """
    summed = weights.cumsum()
    if total is None:
        total = float(summed[-1])
    near = MARGIN * total
    kept = len(summed)
    if settings.top_p < 1:
        kept = _place(summed, settings.top_p * total, near) + 1
        if kept == 0 or (kept > len(summed) and not settings.min_p):
            return -1
    if settings.min_p:
        if np.abs(weights - settings.min_p).min() < MARGIN:
            return -1
        kept = min(kept, int((weights >= settings.min_p).sum()))
    if settings.top_p < 1 or settings.min_p:
        total = float(summed[kept - 1])
    place = _place(summed[:kept], number * total, near)
    return place if place < kept else -1


def _place(summed: Sums, target: float, near: float) -> int:
    """Return the first place whose sum reaches the target; -1 if rounding might decide."""
    place = int(summed.searchsorted(target))
    below = float(summed[place - 1]) if place else -np.inf
    above = float(summed[place]) if place < len(summed) else np.inf
    return place if below + near < target < above - near else -1


def penalized(logits: Logits, tokens: Collection[int], penalty: float) -> Logits:
    """Return the logits (V,) in float64 with the `tokens`' own lowered, each once.

    How often a token occurred does not matter.
    """
    lowered = logits.astype(np.float64)
    ids = list(tokens)
    seen = lowered[ids]
    lowered[ids] = np.where(seen > 0, seen / penalty, seen * penalty)
    return lowered


def share_of(tokens: npt.NDArray[np.bool_], logits: Logits, temperature: float) -> float:
    """Return the total probability of the masked tokens (V,); temperature 0 counts as 1."""
    weights = np.exp(((logits - logits.max()) / (temperature or 1.0)).astype(np.float32))
    return float(weights[tokens].sum() / weights.sum())
