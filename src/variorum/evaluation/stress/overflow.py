"""Stress context overflow: what cutting a full window does to tokens and loss."""

import numpy as np

from variorum.evaluation.bits import score
from variorum.evaluation.stress.subject import FULL, StressedModel
from variorum.evaluation.stress.writing import attempt, equal_tokens, excerpt, write_all
from variorum.evaluation.verdicts import Case, judge

WINDOWS = 64  # read for the loss beyond the context


def overflow_cache(subject: StressedModel) -> Case:
    """Compare texts written with and without the cache, behind a full context."""
    cached = subject.continuations[FULL]
    job = (cached.prompt, cached.sampling)
    [plain] = write_all(subject.model, subject.tokenizer, [job], use_cache=False)
    equal = equal_tokens(cached, plain)
    return judge(
        "overflow-cache",
        "Context overflow: cache",
        "Does the cache give the tokens that computing everything anew gives?",
        measured=equal / cached.wanted,
        threshold=1.0,
        comparison=">=",
        explanation=(
            f"The first {equal} of {cached.wanted} tokens are the same."
            f"{cached.problem or plain.problem}"
        ),
        excerpt=excerpt(subject.tokenizer, cached.tokens),
    )


def overflow_loss(subject: StressedModel) -> Case:
    """Compare the loss just after the window slid and well inside a window.

    The same tokens are compared. The text is scored with the windows of writing: a full one is cut
    to its last half. Then it is scored again, half a stride further on, so that tokens just behind
    a cut are now before one.
    """
    context_length = subject.context_length
    stride = context_length - context_length // 2 + 1
    shift = stride // 2
    tokens = subject.held(context_length + WINDOWS * stride)
    places = np.arange(context_length + stride, len(tokens))
    places = places[(places - context_length) % stride < shift]

    def measure() -> tuple[float, float]:
        eot = subject.tokenizer.eot
        slid = score(subject.model, tokens, eot=eot, stride=stride).nats
        moved = score(subject.model, tokens[shift:], eot=eot, stride=stride).nats
        return float(slid[places].mean()), float(moved[places - shift].mean())

    found, problem = attempt(measure)
    after, inside = found or (0.0, 0.0)
    return judge(
        "overflow-loss",
        "Context overflow: loss",
        "How much harder is the text to predict just after the window slid?",
        measured=after / inside if inside else None,
        threshold=subject.settings.overflow_loss_ratio,
        comparison="<=",
        explanation=problem.strip()
        or (
            f"{len(places)} tokens of held-out text cost {after:.3f} nats each just after the "
            f"window slid, and {inside:.3f} inside a window."
        ),
    )
