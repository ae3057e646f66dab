"""Stress what makes a language model: only the past decides, equally every time."""

import numpy as np
import torch
from torch import Tensor

from variorum.base.errors import VariorumError
from variorum.evaluation.bits import evaluating
from variorum.evaluation.stress.subject import StressedModel
from variorum.evaluation.stress.writing import attempt
from variorum.evaluation.verdicts import Case, judge

ROUNDING = 1e-4  # what sums in another order may change in a logit, several times over


def causality(subject: StressedModel) -> Case:
    """Change the last token, then the last half; earlier logits must stay."""
    n = subject.context_length
    text = torch.from_numpy(subject.held(n).astype(np.int64))  # (T,)
    other = (text + 1) % subject.tokenizer.eot  # another token everywhere, and never the special

    def largest_change(start: int) -> float:
        """Return the largest change of a logit before `start`.

        All tokens from `start` on are replaced.
        """
        changed = _logits(subject, torch.cat([text[:start], other[start:]]))
        return float((changed - _logits(subject, text))[:start].abs().max())

    def measure() -> float:
        return max(largest_change(n - 1), largest_change(n // 2))

    measured, problem = attempt(measure)
    return judge(
        "causality",
        "Causality",
        "Do tokens that come later leave the predictions before them as they were?",
        measured=measured,
        threshold=ROUNDING,
        comparison="<=",
        explanation=problem.strip()
        or (
            "The last token of a full context was changed, and then its whole last half. No score "
            f"before them moved by more than {measured:.2g}."
        ),
    )


def determinism(subject: StressedModel) -> Case:
    """Read the same text twice."""
    text = torch.from_numpy(subject.held(subject.context_length).astype(np.int64))  # (T,)

    def measure() -> float:
        first, second = (_logits(subject, text) for _ in range(2))
        return float((first - second).abs().max())

    measured, problem = attempt(measure)
    return judge(
        "determinism",
        "Determinism",
        "Does it predict the same when it reads the same text again?",
        measured=measured,
        threshold=0.0,
        comparison="<=",
        explanation=problem.strip()
        or f"A full context was read twice; the scores differ by at most {measured:.2g}.",
    )


def _logits(subject: StressedModel, ids: Tensor) -> Tensor:
    """Return the scores (T, V) of the tokens behind each of ids (T,)."""
    with evaluating(subject.model) as device:
        logits: Tensor = subject.model(ids[None].to(device))[0]
    if not torch.isfinite(logits).all():
        raise VariorumError("its scores are not finite numbers")
    return logits.cpu().double()
