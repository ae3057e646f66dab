"""Measure what context is worth: the loss when only the last few tokens are given.

Blocks of held-out text are scored behind up to 1, 2, 4, ... tokens, up to the whole context: each
token sees more than half as many as that. The tokens are the same each time, so a difference is
the context's. A window that is full is cut to its last half when a model writes, so the last
doubling is also what a text loses there.
"""

from functools import partial
from itertools import pairwise

import numpy as np

from variorum.evaluation.stress.behaviour.blocks import ScoredBlocks, nats_of
from variorum.evaluation.stress.behaviour.estimates import Values
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
from variorum.model.gpt import GPT


def lengths_of(context_length: int) -> list[int]:
    """Return the lengths of context to give: 1, 2, 4, ..., and the whole."""
    powers = [2**power for power in range(context_length.bit_length()) if 2**power < context_length]
    return [*powers, context_length]


def bits_behind(blocks: ScoredBlocks, length: int, model: GPT) -> Values:
    """Return the bits per token of each unit (U,) behind up to `length` tokens."""
    step = max(1, length // 2)
    inner = [
        (start + min(offset + step, blocks.length), min(step, blocks.length - offset))
        for start in blocks.starts
        for offset in range(0, blocks.length, step)
    ]  # the end of each window and how many tokens it scores
    nats = np.empty(len(inner))
    scored = np.array([count for _, count in inner])
    for count in np.unique(scored):
        rows = [blocks.stream[end - length - 1 : end] for end, own in inner if own == count]
        nats[scored == count] = nats_of(model, rows, int(count))
    return blocks.bits_per_token(
        nats.reshape(len(blocks.starts), -(-blocks.length // step)).sum(1), blocks.length
    )


def context(panel: Panel) -> Behaviour:
    """Compare the loss behind one token with the loss behind the whole context."""
    blocks = ScoredBlocks(panel.subject)
    lengths = lengths_of(panel.subject.context_length)
    bits, problem = panel.of_models(
        lengths, partial(bits_behind, blocks), judged=(lengths[0], lengths[-1])
    )
    whole = bits[lengths[-1]]
    gained = minus(bits[lengths[0]], whole)
    per_unit = blocks.bits_per_token(blocks.frequency_nats(blocks.length), blocks.length)
    frequency = dict.fromkeys(WRITERS, per_unit)
    gains = [
        Measurement(f"gain from {short:,} to {long:,}", means(minus(bits[short], bits[long])))
        for short, long in pairwise(lengths)
    ]
    return outcome(
        "context",
        "Use of context",
        "How much easier does more context make the text?",
        unit="bits per token",
        shown=Measurement("gain from the whole context over one token", means(gained)),
        rows=[
            Measurement("frequencies of tokens alone", means({MODEL: per_unit})),
            *(Measurement(f"up to {length:,} tokens", means(own)) for length, own in bits.items()),
            *gains,
        ],
        claims=[
            claim(
                "better than the frequencies of tokens alone",
                means(minus(frequency, whole)),
                least=0.0,
            ),
            claim(
                "gains more from context than the random model",
                means(minus(gained, dict.fromkeys(WRITERS, gained[RANDOM]))),
                least=0.0,
            ),
        ],
        explanation=(
            f"{len(blocks.starts)} blocks of {blocks.length} tokens of held-out text, in "
            f"{len(per_unit)} independent parts, scored when no more than the last few tokens are "
            f"given. Where a full window is cut while writing, the last doubling is lost.{problem}"
        ),
    )
