"""Stress context overflow: the cache when a full window is cut."""

from variorum.evaluation.stress.subject import FULL, StressedModel
from variorum.evaluation.stress.writing import equal_tokens, excerpt, write_all
from variorum.evaluation.verdicts import Case, judge


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
