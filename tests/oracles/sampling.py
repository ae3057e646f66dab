"""Sampling by the book: in plain Python floats and loops, and by sorting all tokens."""

import math

import torch

from variorum.config.evaluation_settings import SamplingSettings


def by_sorting(logits: list[float], settings: SamplingSettings, uniform: float) -> int:
    """The token that `uniform` hits where all tokens are sorted in float64: the definition."""
    scores = torch.tensor(logits, dtype=torch.float64)
    if settings.temperature == 0:
        return int(scores.argmax())
    scores = (scores - scores.max()) / settings.temperature
    scores, ids = scores.sort(descending=True, stable=True)
    shares = scores[: settings.top_k].softmax(0)
    summed = shares.cumsum(0)
    size = int(torch.searchsorted(summed, settings.top_p * summed[-1])) + 1
    size = min(size, int((shares >= settings.min_p * shares[0]).sum()))
    place = int(torch.searchsorted(summed, uniform * summed[size - 1], right=True))
    return int(ids[min(place, size - 1)])


def penalized(logits: list[float], recent: list[int], penalty: float) -> list[float]:
    """The logits, smaller for recent tokens: each once, however often it stood there."""
    smaller = list(logits)
    for token in range(len(logits)):
        if token in recent:
            smaller[token] = (
                logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
            )
    return smaller


def kept(
    logits: list[float], temperature: float, top_k: int | None, top_p: float, min_p: float = 0.0
) -> list[tuple[int, float]]:
    """The tokens that may be drawn with their probabilities, likeliest first, lower id first."""
    largest = max(logits)
    weights = [math.exp((logit - largest) / temperature) for logit in logits]
    ranked = sorted(range(len(logits)), key=lambda token: (-logits[token], token))[:top_k]
    total = math.fsum(weights[token] for token in ranked)
    for size in range(1, len(ranked) + 1):
        inside = math.fsum(weights[token] for token in ranked[:size])
        if inside >= top_p * total:
            break
    chosen = [token for token in ranked[:size] if weights[token] >= min_p * max(weights)]
    inside = math.fsum(weights[token] for token in chosen)
    return [(token, weights[token] / inside) for token in chosen]


def distance_to_cut(
    logits: list[float], temperature: float, top_k: int | None, top_p: float, min_p: float = 0.0
) -> float:
    """How near the smallest set comes to being another one: rounding may decide below 1e-9."""
    everything = kept(logits, temperature, top_k, 1.0)
    sums = [math.fsum(p for _, p in everything[: n + 1]) for n in range(len(everything))]
    to_top_p = min(abs(total - top_p) for total in sums) if top_p < 1 else 1.0
    likeliest = everything[0][1]
    others = [p for _, p in everything if p != likeliest]
    return min([to_top_p, *(abs(p / likeliest - min_p) for p in others)])


def drawn(choices: list[tuple[int, float]], uniform: float) -> int:
    """The token in whose share of [0, 1) `uniform` falls."""
    below = 0.0
    for token, probability in choices:
        below += probability
        if uniform < below:
            return token
    return choices[-1][0]


def before_stop(text: str, stops: tuple[str, ...]) -> str:
    """The text up to the first stop string: read one character after the other until one ends."""
    for end in range(len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))]
    return text


def could_begin(text: str, stops: tuple[str, ...]) -> str:
    """The longest end of a text with which a stop string begins."""
    ends = [text[start:] for start in range(len(text))]
    beginnings = {stop[:n] for stop in stops for n in range(len(stop))}
    return next((end for end in ends if end in beginnings), "")
