"""Compare all who predict one test text, by pairs.

Scores of one kind compare, static or adaptive (`evaluation.baselines`). Pairs are of a model and
each who needs to be named beside it: the models before it, and every baseline. A difference is the
model's bits per byte less the other's, so below 0 the model needs fewer. Differences of one kind
hold together: each interval has the confidence that all of them need (Bonferroni).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from variorum.evaluation.intervals import CONFIDENCE, Bytes, as_data
from variorum.evaluation.parts import Bits, Drawn


def comparison(
    costs: Mapping[str, Bits], models: Sequence[str], n_bytes: Bytes, drawn: Drawn
) -> dict[str, Any]:
    """Return scores, and the differences of pairs, with their intervals.

    Args:
        costs: the bits of each part (G,), by who predicts the text.
        models: which of them are models, in the order of their training.
        n_bytes: the bytes of each part (G,).
        drawn: what the parts are.

    Returns:
        `scores`: by name, an interval, or None. `pairs`: by model and by the name of the other, the
        interval of the difference. `confidence`: of the differences' intervals.
    """
    pairs = list(_pairs(models, costs))
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(pairs))

    found: dict[str, Any] = {
        "scores": {name: as_data(bits, n_bytes, drawn) for name, bits in costs.items()},
        "pairs": {model: {} for model in models},
        "confidence": confidence,
    }
    for model, other in pairs:
        found["pairs"][model][other] = as_data(
            costs[model] - costs[other], n_bytes, drawn, confidence
        )
    return found


def _pairs(models: Sequence[str], costs: Mapping[str, Bits]) -> Iterator[tuple[str, str]]:
    for place, model in enumerate(models):
        yield from ((model, other) for other in models[:place])
        yield from ((model, other) for other in costs if other not in models)
