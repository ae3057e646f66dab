"""Stress hard prompts, to be read without loss and continued.

A full context, one far too long, nothing at all, control characters, scripts and tokens that
training never showed, and the special token's name written out as text.
"""

from dataclasses import replace
from itertools import takewhile

from variorum.evaluation.printable import legible
from variorum.evaluation.stress.subject import FULL, HOSTILE, LONG, RARE, TOO_LONG, StressedModel
from variorum.evaluation.stress.writing import (
    EXCERPT,
    Writing,
    attempt,
    excerpt,
    finite_share,
    write_all,
)
from variorum.evaluation.verdicts import Case, judge
from variorum.generation.text import continue_texts
from variorum.tokenizer.base import END_OF_TEXT, text_bytes

FROM_NOTHING = 8  # texts


def _continues(
    subject: StressedModel, prompt: str, name: str, title: str, question: str, note: str = ""
) -> Case:
    """Judge whether one of `subject.continuations` has every token, with finite probabilities."""
    writing = subject.continuations[prompt]
    share, problem = attempt(lambda: finite_share(subject.model, subject.tokenizer, writing))
    written = round((share or 0.0) * writing.wanted)
    return judge(
        name,
        title,
        question,
        measured=share,
        threshold=1.0,
        comparison=">=",
        explanation=(
            f"{written} of {writing.wanted} tokens were written with finite probabilities, behind "
            f"a prompt of {len(writing.prompt)}.{note}{writing.problem or problem}"
        ),
        excerpt=excerpt(subject.tokenizer, writing.tokens),
    )


def full_context(subject: StressedModel) -> Case:
    """Write on behind a full context."""
    return _continues(
        subject,
        FULL,
        "overflow-continues",
        "Context overflow: writing on",
        "Does it write on, with finite numbers, when the context is full?",
    )


def empty_prompt(subject: StressedModel) -> Case:
    """Begin documents from nothing, as a user would, and from the end-of-document token.

    A model may end a document at once; so the texts are compared, and may be empty.
    """
    eot = subject.tokenizer.eot
    how = subject.plain(subject.short, {})
    jobs = [([eot], how.model_copy(update={"seed": seed})) for seed in range(FROM_NOTHING)]
    begun = write_all(subject.model, subject.tokenizer, jobs)
    expected = [_document(subject, writing) for writing in begun]

    def write() -> list[str]:
        settings = [sampling for _, sampling in jobs]
        found = continue_texts(subject.model, subject.tokenizer, [""] * len(jobs), settings)
        return [each.text for each in found]

    texts, problem = attempt(write)
    texts, problem = texts or [], problem or next((e.problem for e in begun if e.problem), "")
    same = sum(one == other for one, other in zip(texts, expected, strict=False))
    return judge(
        "empty-prompt",
        "Empty prompt",
        "Does it begin a document when it is given nothing?",
        measured=None if problem else same / FROM_NOTHING,
        threshold=1.0,
        comparison=">=",
        explanation=(
            f"{same} of {FROM_NOTHING} texts begun from nothing are the ones that begin behind the "
            f"end of a document.{problem}"
        ),
        excerpt=legible(max(texts, key=len, default="")[:EXCERPT]),
    )


def _document(subject: StressedModel, writing: Writing) -> str:
    """Return the text of a writing up to the first end of a document."""
    own = takewhile(lambda token: token != subject.tokenizer.eot, writing.tokens)
    return subject.tokenizer.decode(own)


def special_token_text(subject: StressedModel) -> Case:
    """Write the special token's name out; it must not become the token."""
    prompt = HOSTILE["special-token"][1]
    ids = subject.tokenizer.encode(prompt)
    special = ids.count(subject.tokenizer.eot)
    return judge(
        "special-token-text",
        "The special token's name as text",
        f"Does the text {END_OF_TEXT} stay text?",
        measured=float(special),
        threshold=0.0,
        comparison="<=",
        explanation=f"Of the {len(ids)} tokens of the text below, {special} are the special one.",
        excerpt=legible(prompt),
    )


def hostile_text(subject: StressedModel, name: str) -> Case:
    """Write on behind a hostile text, which the tokenizer must give back unchanged."""
    what, prompt = HOSTILE[name]
    case = _continues(
        subject,
        name,
        f"hostile-{name}",
        f"Hostile prompt: {what}",
        "Does it read this without loss, and write on?",
        f" The prompt: {legible(prompt.strip())}",
    )
    ids = subject.continuations[name].prompt
    if subject.tokenizer.decode_bytes(ids) == text_bytes(prompt):
        return case
    explanation = f"The tokenizer did not give the prompt back unchanged. {case.explanation}"
    return replace(case, measured=0.0, passed=False, explanation=explanation)


def long_prompt(subject: StressedModel) -> Case:
    """Write on behind a prompt of ten contexts."""
    return _continues(
        subject,
        TOO_LONG,
        "hostile-long-prompt",
        "Hostile prompt: ten contexts long",
        f"Does it write on behind a prompt of {LONG} times its context?",
    )


def rare_tokens(subject: StressedModel) -> Case:
    """Write on behind the tokens that training showed least, or never."""
    never = int((subject.texts.train_counts[subject.rarest] == 0).sum())
    return _continues(
        subject,
        RARE,
        "hostile-rare-tokens",
        "Hostile prompt: the rarest tokens",
        "Does it write on behind tokens that training hardly showed?",
        f" {never} of its tokens never stood in the training text.",
    )
