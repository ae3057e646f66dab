"""Stress hard prompts, to be read without loss and continued.

A full context, one far too long, nothing at all, control characters, scripts and tokens that
training never showed, and the special token's name written out as text.
"""

from dataclasses import replace

from variorum.evaluation.printable import legible
from variorum.evaluation.stress.subject import FULL, HOSTILE, LONG, RARE, TOO_LONG, StressedModel
from variorum.evaluation.stress.writing import EXCERPT, attempt, excerpt, finite_share
from variorum.evaluation.verdicts import Case, judge
from variorum.generation.text import continue_text
from variorum.tokenizer.base import END_OF_TEXT, text_bytes


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
    """Begin a document from nothing, as a user would."""
    sampling = subject.sampling(subject.settings.case_tokens)
    found, problem = attempt(lambda: continue_text(subject.model, subject.tokenizer, "", sampling))
    text = found or ""
    return judge(
        "empty-prompt",
        "Empty prompt",
        "Does it write anything when it is given nothing?",
        measured=float(len(text)),
        threshold=1.0,
        comparison=">=",
        explanation=f"It wrote {len(text)} characters.{problem}",
        excerpt=legible(text[:EXCERPT]),
    )


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
    never = int((subject.train_counts[subject.rarest] == 0).sum())
    return _continues(
        subject,
        RARE,
        "hostile-rare-tokens",
        "Hostile prompt: the rarest tokens",
        "Does it write on behind tokens that training hardly showed?",
        f" {never} of its tokens never stood in the training text.",
    )
