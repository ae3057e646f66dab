"""Measure how much of what context is worth survives slips of the keyboard.

Each character of the context is hit with a fixed chance: another character of the text takes its
place, or it is left out, or it changes places with the next. The text behind it is clean, and the
same tokens are scored behind clean context, behind context with slips, and behind none.
"""

import numpy as np

from variorum.evaluation.printable import legible_bytes
from variorum.evaluation.stress.behaviour.blocks import ScoredBlocks, nats_of
from variorum.evaluation.stress.behaviour.estimates import MeanEstimate, Values, ratio_of
from variorum.evaluation.stress.behaviour.outcome import (
    MODEL,
    RANDOM,
    WRITERS,
    Behaviour,
    Measurement,
    claim,
    outcome,
)
from variorum.evaluation.stress.behaviour.panel import Panel, means, minus
from variorum.evaluation.stress.subject import Integers, StressedModel
from variorum.evaluation.stress.writing import EXCERPT
from variorum.model.gpt import GPT

UNIT = float(2**64)  # of raw random numbers
CLEAN, NOISY, NONE = "clean context", "context with slips", "no context"


def noise(panel: Panel) -> Behaviour:
    """Compare the loss behind slips with the loss behind clean context and behind none."""
    subject = panel.subject
    blocks, share = ScoredBlocks(subject), subject.settings.noise_share
    n_after = max(1, subject.context_length // 4)
    contexts = contexts_of(blocks, share)
    after = blocks.tokens(n_after)
    rows = {
        kind: [np.concatenate([each, own]) for each, own in zip(before, after, strict=True)]
        for kind, before in contexts.items()
    }

    def measure(kind: str, model: GPT) -> Values:
        return blocks.bits_per_token(nats_of(model, rows[kind], n_after), n_after)

    bits, problem = panel.of_models(rows, measure, judged=rows)
    gained, lost = minus(bits[NONE], bits[CLEAN]), minus(bits[NOISY], bits[CLEAN])
    frequency = dict.fromkeys(
        WRITERS, blocks.bits_per_token(blocks.frequency_nats(n_after), n_after)
    )
    shares = {who: _share(lost[who], gained[who]) for who in WRITERS}
    shown = b"".join(subject.tokenizer.decode_bytes(each.tolist()) for each in contexts[NOISY][:1])
    return outcome(
        "noise",
        "Noise",
        "How much of what the context is worth do slips in it destroy?",
        unit="bits per token",
        shown=Measurement("share of the context's worth that slips destroy", shares),
        rows=[
            *(Measurement(kind, means(own)) for kind, own in bits.items()),
            Measurement("gain from clean context", means(gained)),
            Measurement("lost by slips", means(lost)),
        ],
        claims=[
            claim(
                "slips destroy less than half", means(minus(minus(gained, lost), lost)), least=0.0
            ),
            claim(
                "gains more from context than the random model",
                means(minus(gained, dict.fromkeys(WRITERS, gained[RANDOM]))),
                least=0.0,
            ),
            claim(
                "better behind slips than the frequencies of tokens alone",
                means(minus(frequency, bits[NOISY])),
                least=0.0,
            ),
        ],
        explanation=(
            f"{after.size} tokens of held-out text, in {len(frequency[MODEL])} independent parts, "
            f"are scored behind the {blocks.length} tokens before them, behind the same text where "
            f"{100 * share:g} % of its characters were replaced, left out, or swapped with the "
            f"next, as below, and behind nothing.{problem}"
        ),
        excerpt=legible_bytes(shown)[:EXCERPT],
    )


def contexts_of(blocks: ScoredBlocks, share: float) -> dict[str, list[Integers]]:
    """Return what stands before each block, half a context long, by its kind."""
    subject, length = blocks.subject, blocks.length
    eot = np.array([subject.tokenizer.eot])
    clean = [blocks.before(start, length) for start in blocks.starts]
    noisy = []
    for number, start in enumerate(blocks.starts):  # slips make text longer or shorter, in tokens
        read = read_again(subject, blocks.before(start, 2 * length), share, number)
        noisy.append(np.array([*np.repeat(eot, length), *read])[-length:])
    return {CLEAN: clean, NOISY: noisy, NONE: [eot for _ in blocks.starts]}


def _share(lost: Values | None, gained: Values | None) -> MeanEstimate | None:
    return None if lost is None or gained is None else ratio_of(lost, gained)


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
