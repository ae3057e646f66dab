"""Stress noise: predict clean text behind text with slips of the keyboard.

Each character is hit with a fixed chance: another character of the text takes its place, or it is
left out, or it changes places with the next. The continuation that is then predicted is clean, and
consists of the same tokens behind the clean text and behind the noisy one.
"""

import numpy as np
import torch
from torch.nn import functional as F

from variorum.evaluation.bits import evaluating
from variorum.evaluation.printable import legible
from variorum.evaluation.stress.subject import Integers, StressedModel
from variorum.evaluation.stress.writing import EXCERPT, attempt
from variorum.evaluation.verdicts import Case, judge

WINDOWS = 32
UNIT = float(2**64)  # of raw random numbers


def noise(subject: StressedModel) -> Case:
    """Compare the loss of clean text behind noise with the loss behind clean text."""
    share, n_after = subject.settings.noise_share, max(1, subject.context_length // 4)
    n_before = subject.context_length // 2
    windows = subject.held(WINDOWS * (n_before + n_after)).reshape(WINDOWS, -1)  # (W, T)

    def measure() -> tuple[float, float]:
        sums = [
            _nats(subject, read_again(subject, row[:n_before], each, number), row[n_before:])
            for number, row in enumerate(windows)
            for each in (0.0, share)
        ]
        clean, noisy = np.array(sums).reshape(WINDOWS, 2).mean(axis=0) / n_after
        return float(clean), float(noisy)

    found, problem = attempt(measure)
    clean, noisy = found or (0.0, 0.0)
    shown = read_again(subject, windows[0][:n_before], share, 0)
    return judge(
        "noise",
        "Noise",
        "How much harder is clean text to predict behind text with random slips?",
        measured=noisy / clean if clean else None,
        threshold=subject.settings.noise_loss_ratio,
        comparison="<=",
        explanation=problem.strip()
        or (
            f"{WINDOWS * n_after} tokens of held-out text cost {clean:.3f} nats each behind the "
            f"text before them, and {noisy:.3f} where {100 * share:.0f} % of its characters were "
            "replaced, left out, or swapped with the next, as below."
        ),
        excerpt=legible(subject.tokenizer.decode(shown)[:EXCERPT]),
    )


def noised(text: str, share: float, seed: int, number: int = 0) -> str:
    """Change about this share of the characters: replaced, left out, or swapped.

    Raw numbers of Philox alone are used, which NumPy promises not to change.
    """
    bits = np.random.Philox(key=np.array([seed, number], dtype=np.uint64))
    chances, kinds, others = bits.random_raw(3 * len(text)).reshape(3, -1)
    characters = list(text)
    for place in np.flatnonzero(chances / UNIT < share):
        kind = kinds[place] % 3
        if kind == 0:
            characters[place] = text[int(others[place] % len(text))]
        elif kind == 1:
            characters[place] = ""
        else:
            characters[place : place + 2] = reversed(characters[place : place + 2])
    return "".join(characters)


def read_again(subject: StressedModel, tokens: Integers, share: float, number: int) -> list[int]:
    """Return the tokens of a noisy text of tokens (N,); ends of documents stay."""
    tokenizer, eot = subject.tokenizer, subject.tokenizer.eot
    read: list[int] = []
    for piece in np.split(tokens, np.flatnonzero(tokens == eot)):
        ids = piece.tolist()
        text = tokenizer.decode_bytes(ids).decode("utf-8", "ignore")
        read += [eot] * (ids[:1] == [eot])
        read += tokenizer.encode(noised(text, share, subject.settings.sampling.seed, number))
    return read or [eot]


def _nats(subject: StressedModel, before: list[int], after: Integers) -> float:
    """Return the nats of the tokens `after` (N,) together, after the tokens `before`."""
    ids = torch.tensor([*before, *after.tolist()][-subject.context_length - 1 :])
    with evaluating(subject.model) as device:
        logits = subject.model(ids[None, :-1].to(device))[0].cpu().double()  # (T, V)
    own = slice(-len(after), None)
    return float(F.cross_entropy(logits[own], ids[own], reduction="sum"))
