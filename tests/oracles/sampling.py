"""Sampling by the book: plain Python floats and loops, one step after the other."""

import math


def kept(
    logits: list[float], temperature: float, top_k: int | None, top_p: float
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
    return [(token, weights[token] / inside) for token in ranked[:size]]


def distance_to_cut(
    logits: list[float], temperature: float, top_k: int | None, top_p: float
) -> float:
    """How near the smallest set comes to being another one: rounding may decide below 1e-9."""
    everything = kept(logits, temperature, top_k, 1.0)
    sums = [math.fsum(p for _, p in everything[: n + 1]) for n in range(len(everything))]
    return min(abs(total - top_p) for total in sums) if top_p < 1 else 1.0


def drawn(choices: list[tuple[int, float]], uniform: float) -> int:
    """The token in whose share of [0, 1) `uniform` falls."""
    below = 0.0
    for token, probability in choices:
        below += probability
        if uniform < below:
            return token
    return choices[-1][0]
