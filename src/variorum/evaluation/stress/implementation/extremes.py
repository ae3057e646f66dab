"""Stress extreme settings: each one at its end."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from variorum.evaluation.stress.subject import WILD, StressedModel
from variorum.evaluation.stress.writing import (
    Writing,
    attempt,
    bad_bytes,
    equal_tokens,
    excerpt,
    finite_share,
    write_all,
)
from variorum.evaluation.verdicts import Case, judge


@dataclass(frozen=True)
class Extreme:
    """Hold a setting at its end, and whether it leaves only the likeliest token."""

    changes: Mapping[str, Any]
    likeliest: bool = False


HOTTEST = f"temperature {WILD:g}"
EXTREMES = {
    "temperature 1e-6": Extreme({"temperature": 1e-6}, likeliest=True),
    "top-k 1": Extreme({"top_k": 1}, likeliest=True),
    "top-p 1e-9": Extreme({"top_p": 1e-9}, likeliest=True),
    "min-p 1": Extreme({"min_p": 1.0}),
    HOTTEST: Extreme({"temperature": WILD}),
    "repetition penalty 1e9": Extreme({"repetition_penalty": 1e9}),
}


def extreme_settings(subject: StressedModel) -> Case:
    """Write with each setting at its end: finite numbers, valid text, or the likeliest tokens."""
    prompt = subject.read(subject.settings.prompts[0])
    changes = [{"temperature": 0.0}, *(extreme.changes for extreme in EXTREMES.values())]
    jobs = [(prompt, subject.plain(subject.short, each)) for each in changes]
    likeliest, *texts = write_all(subject.model, subject.tokenizer, jobs)
    faults = {
        name: _fault(subject, text, likeliest if extreme.likeliest else None)
        for (name, extreme), text in zip(EXTREMES.items(), texts, strict=True)
    }
    failed = sum(bool(fault) for fault in faults.values())
    return judge(
        "extreme-settings",
        "Settings at their ends",
        "How many settings break it at their ends?",
        measured=float(failed),
        threshold=0.0,
        comparison="<=",
        explanation=(
            f"With each of these {len(EXTREMES)} settings it has to write {subject.short} tokens "
            "with finite probabilities, as valid text, and the likeliest ones where no others are "
            "left."
        ),
        excerpt=excerpt(subject.tokenizer, texts[list(EXTREMES).index(HOTTEST)].tokens),
        parts={name: fault or "holds" for name, fault in faults.items()},
    )


def _fault(subject: StressedModel, text: Writing, likeliest: Writing | None) -> str:
    """Return what is wrong with a text, or "".

    Where `likeliest` is given the text should equal it.
    """
    if text.problem:
        return text.problem.strip()
    share, problem = attempt(lambda: finite_share(subject.model, subject.tokenizer, text))
    if share != 1:
        return problem.strip() or f"{100 * (share or 0):.0f} % of its tokens are finite"
    if bad := bad_bytes(subject.tokenizer, text):
        return f"{bad} of its bytes are no text"
    if likeliest and (equal := equal_tokens(text, likeliest)) < text.wanted:
        return f"only the first {equal} of {text.wanted} tokens are the likeliest"
    return ""
