"""The stress catalogue: what a model does where it was not trained to be.

Each case asks one question of one model, measures something, and compares it with a threshold that
the settings or the nature of the case gave beforehand. An error is an outcome like any other here:
the case has failed, and its explanation says with what.

    context overflow   writing on when the context is full: finite numbers, a cache that agrees with
                       computing everything anew, text that does not become much harder to predict
    repetition         how much of a sampled text repeats itself (Holtzman et al. 2020, figure 1)
    high temperature   whether near-random choices still make characters
    empty prompt       whether a document begins by itself
    hostile prompts    control characters, scripts and tokens that training never showed, a prompt
                       far too long, and the special token's name written out as text

Takes model, tokenizer, settings, held-out tokens, and how often each token stands in train.
"""

import codecs
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from variorum.config import SamplingSettings, StressSettings
from variorum.evaluation.bits import score
from variorum.evaluation.legible import legible
from variorum.evaluation.verdicts import Case, judge
from variorum.generation.sampler import generate
from variorum.generation.text import continue_text
from variorum.model.gpt import GPT
from variorum.tokenizer.base import END_OF_TEXT, Tokenizer, text_bytes

Integers = npt.NDArray[np.integer]

EXCERPT = 320  # characters
REPEAT = 16  # characters that stand twice in a row of their own make a repeat
OVERFLOW_WINDOWS = 64  # looked at for the loss beyond the context
RARE_TOKENS = 32
NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\udc80-\udcff]")

HOSTILE = {
    "control-characters": ("control characters", "\x00\x01\x07\x08\x1b[2J\x7f\x85 The \r\n"),
    "special-token": ("the special token's name", f"{END_OF_TEXT} and {END_OF_TEXT}"),
    "emoji": ("emoji", "👩‍👩‍👧‍👦 👍🏽 🇺🇳 🫠🫠🫠"),
    "right-to-left": ("right-to-left text", "\u202eהכתב נקרא מימין לשמאל וكذلك العربية"),
    "zero-width": ("invisible characters", "a\u200bb\u200c\u200d\u2060c\ufeff\u00add\u0301\u0301"),
}


@dataclass(frozen=True)
class Subject:
    """What the cases examine, and how long they let it write."""

    model: GPT
    tokenizer: Tokenizer
    settings: StressSettings

    @property
    def sampling(self) -> SamplingSettings:
        """The settings of the samples, at the length of a case."""
        tokens = self.settings.case_tokens
        return self.settings.sampling.model_copy(update={"max_tokens": tokens})


def catalogue(
    model: GPT,
    tokenizer: Tokenizer,
    settings: StressSettings,
    *,
    held_out: Integers,
    train_counts: Integers,
) -> list[Case]:
    """Carry out every case, in the order of the report.

    Args:
        model: the model, in any mode.
        tokenizer: the one it was trained with.
        settings: thresholds, prompts, and how long each case may write.
        held_out: the stream of a part that was not trained on (N,); if short, it is read again.
        train_counts: how often each token stands in the text it was trained on (V,).
    """
    subject = Subject(model, tokenizer, settings)
    return [
        overflow_continues(subject, held_out),
        overflow_cache(subject, held_out),
        overflow_loss(subject, held_out),
        repetition(subject),
        high_temperature(subject),
        empty_prompt(subject),
        special_token_text(subject),
        *(hostile_text(subject, name) for name in HOSTILE),
        long_prompt(subject, held_out),
        rare_tokens(subject, train_counts),
    ]


def samples(model: GPT, tokenizer: Tokenizer, settings: StressSettings) -> list[dict[str, str]]:
    """How the model continues each of the fixed prompts: `prompt` and `text`, which follows it."""
    return [
        {
            "prompt": prompt,
            "text": legible(continue_text(model, tokenizer, prompt, settings.sampling)),
        }
        for prompt in settings.prompts
    ]


# --- writing --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Writing:
    """Tokens that a model wrote, until it was done or an error ended it."""

    prompt: list[int]
    tokens: list[int]
    wanted: int
    problem: str = ""


def write(
    model: GPT, prompt: Sequence[int], sampling: SamplingSettings, *, use_cache: bool = True
) -> Writing:
    """Continue a prompt through ends of documents; whatever goes wrong becomes `problem`."""
    tokens: list[int] = []
    problem = ""
    try:
        tokens.extend(generate(model, prompt, sampling, use_cache=use_cache))
    except Exception as error:  # the very thing that is being looked for
        problem = f" It ended with {type(error).__name__}: {error}"
    return Writing(list(prompt), tokens, sampling.max_tokens, problem)


def finite_share(subject: Subject, writing: Writing) -> float:
    """Share of the wanted tokens that were written and have a finite probability."""
    if not writing.tokens:
        return 0.0
    context_length = subject.model.settings.context_length
    read = np.array([*writing.prompt[-context_length:], *writing.tokens])
    nats = score(subject.model, read, eot=subject.tokenizer.eot, stride=-(-context_length // 2))
    finite = np.isfinite(nats[-len(writing.tokens) :]).sum()
    return float(finite) / writing.wanted


def written_text(tokenizer: Tokenizer, tokens: Iterable[int]) -> str:
    """The tokens as text, ends of documents as NUL, and bytes that are no UTF-8 as surrogates.

    A character that was cut off by the end of the writing is left out.
    """
    data = b"".join(tokenizer.token_bytes(token) or b"\0" for token in tokens)
    return codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data)


def _excerpt(tokenizer: Tokenizer, tokens: Iterable[int]) -> str:
    text = written_text(tokenizer, tokens).replace("\0", END_OF_TEXT)
    return legible(text[:EXCERPT])


def _continues(
    subject: Subject, name: str, title: str, question: str, prompt: Sequence[int], note: str = ""
) -> Case:
    """The verdict on writing on after `prompt`: every token, and finite."""
    writing = write(subject.model, prompt, subject.sampling)
    share = finite_share(subject, writing)
    return judge(
        name,
        title,
        question,
        measured=share,
        threshold=1.0,
        comparison=">=",
        explanation=(
            f"{round(share * writing.wanted)} of {writing.wanted} tokens were written with finite "
            f"probabilities, after a prompt of {len(prompt)}.{note}{writing.problem}"
        ),
        excerpt=_excerpt(subject.tokenizer, writing.tokens),
    )


# --- context overflow -----------------------------------------------------------------------


def overflow_continues(subject: Subject, held_out: Integers) -> Case:
    """Write on behind a full context."""
    prompt = _first(held_out, subject.model.settings.context_length).tolist()
    return _continues(
        subject,
        "overflow-continues",
        "Context overflow: writing on",
        "Does it write on, with finite numbers, when the context is full?",
        prompt,
    )


def overflow_cache(subject: Subject, held_out: Integers) -> Case:
    """Compare what is written with and without the cache, behind a full context."""
    prompt = _first(held_out, subject.model.settings.context_length).tolist()
    cached = write(subject.model, prompt, subject.sampling)
    plain = write(subject.model, prompt, subject.sampling, use_cache=False)
    pairs = zip(cached.tokens, plain.tokens, strict=False)
    differs = (place for place, (one, other) in enumerate(pairs) if one != other)
    equal = next(differs, min(len(cached.tokens), len(plain.tokens)))
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
        excerpt=_excerpt(subject.tokenizer, cached.tokens),
    )


def overflow_loss(subject: Subject, held_out: Integers) -> Case:
    """Compare the loss of the same tokens just after the window slid and well inside one.

    The text is scored with the windows that writing has: a full one is cut to its last half. Then
    it is scored again, half a stride further on, so that what stood just behind a cut now stands
    before one.
    """
    context_length = subject.model.settings.context_length
    stride = context_length - context_length // 2 + 1
    shift = stride // 2
    n_tokens = context_length + OVERFLOW_WINDOWS * stride
    tokens = _first(held_out, n_tokens)
    eot = subject.tokenizer.eot
    measured = None
    try:
        slid = score(subject.model, tokens, eot=eot, stride=stride)
        moved = score(subject.model, tokens[shift:], eot=eot, stride=stride)
    except Exception as error:  # the very thing that is being looked for
        explanation = f"It ended with {type(error).__name__}: {error}"
    else:
        places = np.arange(context_length + stride, len(tokens))
        places = places[(places - context_length) % stride < shift]
        after, inside = float(slid[places].mean()), float(moved[places - shift].mean())
        measured = after / inside if inside else None
        explanation = (
            f"{len(places)} tokens of held-out text cost {after:.3f} nats each just after the "
            f"window slid, and {inside:.3f} inside a window."
        )
    return judge(
        "overflow-loss",
        "Context overflow: loss",
        "How much harder is the text to predict just after the window slid?",
        measured=measured,
        threshold=subject.settings.overflow_loss_ratio,
        comparison="<=",
        explanation=explanation,
    )


def _first(tokens: Integers, n: int) -> Integers:
    """The first `n` tokens (n,) of a stream, which is read over again if it is shorter."""
    return np.resize(tokens[:n], n)


# --- repetition and temperature -------------------------------------------------------------


def repeated_share(text: str) -> float:
    """Share of the characters that stand in a span which stood in the text before.

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


def repetition(subject: Subject) -> Case:
    """Sample after each prompt; the worst counts. Greedy decoding is reported beside it."""
    sampled, problem = _worst_repetition(subject, subject.sampling)
    greedy, greedy_problem = _worst_repetition(
        subject, subject.sampling.model_copy(update={"temperature": 0.0})
    )
    share, text = sampled
    return judge(
        "repetition",
        "Repetition",
        "How much of a sampled text repeats what stood in it before?",
        measured=None if problem else share,
        threshold=subject.settings.repetition_share,
        comparison="<=",
        explanation=(
            f"The worst of {len(subject.settings.prompts)} prompts repeats {100 * share:.0f} % "
            f"when sampled, and {100 * greedy[0]:.0f} % when the likeliest token is always taken."
            f"{problem or greedy_problem}"
        ),
        excerpt=legible(text.replace("\0", END_OF_TEXT)[:EXCERPT]),
    )


def _worst_repetition(
    subject: Subject, sampling: SamplingSettings
) -> tuple[tuple[float, str], str]:
    worst, problem = (-1.0, ""), ""
    for prompt in subject.settings.prompts:
        ids = subject.tokenizer.encode(prompt) or [subject.tokenizer.eot]
        writing = write(subject.model, ids, sampling)
        text = written_text(subject.tokenizer, writing.tokens)
        worst = max(worst, (repeated_share(text), text), key=lambda found: found[0])
        problem = problem or writing.problem
    return worst, problem


def high_temperature(subject: Subject) -> Case:
    """Draw from all tokens at a high temperature; count the characters that are text."""
    settings = subject.settings
    sampling = subject.sampling.model_copy(
        update={"temperature": settings.high_temperature, "top_k": None, "top_p": 1.0}
    )
    ids = subject.tokenizer.encode(settings.prompts[0]) or [subject.tokenizer.eot]
    writing = write(subject.model, ids, sampling)
    text = written_text(subject.tokenizer, writing.tokens).replace("\0", "")
    bad = len(NOT_TEXT.findall(text))
    return judge(
        "high-temperature",
        "High temperature",
        f"At temperature {settings.high_temperature:g}, are its characters still valid text?",
        measured=None if writing.problem or not text else 1 - bad / len(text),
        threshold=settings.high_temperature_valid_share,
        comparison=">=",
        explanation=(
            f"{bad} of {len(text)} characters are control characters or bytes that are not UTF-8."
            f"{writing.problem}"
        ),
        excerpt=legible(text[:EXCERPT]),
    )


# --- prompts --------------------------------------------------------------------------------


def empty_prompt(subject: Subject) -> Case:
    """Begin a document from nothing, as a user would."""
    text, problem = "", ""
    try:
        text = continue_text(subject.model, subject.tokenizer, "", subject.sampling)
    except Exception as error:  # the very thing that is being looked for
        problem = f" It ended with {type(error).__name__}: {error}"
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


def special_token_text(subject: Subject) -> Case:
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


def hostile_text(subject: Subject, name: str) -> Case:
    """Write on behind one of the hostile texts, which the tokenizer has to give back unchanged."""
    what, prompt = HOSTILE[name]
    ids = subject.tokenizer.encode(prompt)
    case = _continues(
        subject,
        f"hostile-{name}",
        f"Hostile prompt: {what}",
        "Does it read this without loss, and write on?",
        ids,
        f" The prompt: {legible(prompt.strip())}",
    )
    if subject.tokenizer.decode_bytes(ids) == text_bytes(prompt):
        return case
    explanation = f"The tokenizer did not give the prompt back unchanged. {case.explanation}"
    return replace(case, measured=0.0, passed=False, explanation=explanation)


def long_prompt(subject: Subject, held_out: Integers) -> Case:
    """Write on behind a prompt of ten contexts."""
    prompt = _first(held_out, 10 * subject.model.settings.context_length).tolist()
    return _continues(
        subject,
        "hostile-long-prompt",
        "Hostile prompt: ten contexts long",
        "Does it write on behind a prompt of ten times its context?",
        prompt,
    )


def rare_tokens(subject: Subject, train_counts: Integers) -> Case:
    """Write on behind the tokens that training showed least, or never."""
    counts = train_counts[: subject.tokenizer.eot]
    rarest = np.argsort(counts, kind="stable")[:RARE_TOKENS]
    never = int((counts[rarest] == 0).sum())
    return _continues(
        subject,
        "hostile-rare-tokens",
        "Hostile prompt: the rarest tokens",
        "Does it write on behind tokens that training hardly showed?",
        rarest.tolist(),
        f" {never} of its tokens never stood in the training text.",
    )
