"""Stress repetition: how much of a text occurred in it before, by strategy.

A strategy is how the next token is chosen. Greedy text that loops is a known trait of language
models (Holtzman et al. 2020, figure 1), so it is shown and not judged.
"""

from dataclasses import dataclass
from itertools import chain

from variorum.evaluation.stress.subject import StressedModel
from variorum.evaluation.stress.writing import Writing, excerpt, written_text
from variorum.evaluation.verdicts import Case, judge

REPEAT = 16  # characters that occur twice make a repeat


def repeated_share(text: str) -> float:
    """Return the share of the characters in a span that occurred in the text before.

    Spans are 16 characters long, or a quarter of a shorter text; repeats may overlap, so a loop is
    covered from its second turn on.
    """
    span = max(1, min(REPEAT, len(text) // 4))
    seen: set[str] = set()
    covered = bytearray(len(text))
    for start in range(len(text) - span + 1):
        piece = text[start : start + span]
        if piece in seen:
            covered[start : start + span] = b"\1" * span
        seen.add(piece)
    return sum(covered) / max(1, len(text))


@dataclass(frozen=True)
class Loop:
    """Hold the text of one strategy that repeats itself most."""

    strategy: str
    share: float
    writing: Writing

    @property
    def sampled(self) -> bool:
        """Return whether tokens were drawn, and not the likeliest taken."""
        return self.writing.sampling.temperature > 0


def repetition(subject: StressedModel) -> Case:
    """Write after each prompt by each strategy; the worst of the sampled texts counts."""
    loops = [_worst(subject, name, texts) for name, texts in subject.by_strategy.items()]
    worst = max((loop for loop in loops if loop.sampled), key=lambda loop: loop.share)
    texts = chain.from_iterable(subject.by_strategy.values())
    problem = next((text.problem for text in texts if text.problem), "")
    return judge(
        "repetition",
        "Repetition",
        "How much of a sampled text repeats what stood in it before?",
        measured=None if problem else worst.share,
        threshold=subject.settings.repetition_share,
        comparison="<=",
        explanation=(
            f"The worst sampled text repeats {100 * worst.share:.0f} % ({worst.strategy}). The "
            f"table has the worst of {len(subject.settings.prompts)} prompts for each way to "
            f"choose the next token.{problem}"
        ),
        excerpt=excerpt(subject.tokenizer, worst.writing.tokens),
        parts={
            loop.strategy: f"{100 * loop.share:.0f} %" + ("" if loop.sampled else ", not judged")
            for loop in loops
        },
    )


def _worst(subject: StressedModel, strategy: str, texts: list[Writing]) -> Loop:
    loops = [
        Loop(strategy, repeated_share(written_text(subject.tokenizer, text.tokens)), text)
        for text in texts
    ]
    return max(loops, key=lambda loop: loop.share)
