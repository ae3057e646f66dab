"""Score every token of a text exactly once: how many bits the model needs.

The text is a stream of tokens, document after document, each followed by the end-of-document
token. The model sees the stream through windows of `context_length` tokens. Each window scores
its last `stride` tokens only, so the tokens before them serve as context:

    stride 2, context 4        e a b c | d f g h        inputs (e: end of document)
    window 0                   a b c d                  scores all four: nothing comes before
    window 1                       c d f g              scores f g, having seen c d as well

With `stride` equal to the context the windows are separate blocks, which is how nanoGPT reports
its loss. The very first token is predicted from the end-of-document token alone, as every
document's first token is in training.

Takes a model and token ids; returns nats per token, and bits per byte from their sum: the one
measure that models with different tokenizers, and compressors, share.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from variorum.base.errors import VariorumError
from variorum.model.gpt import GPT
from variorum.model.logit_memory import windows_at_once

MOST_NATS = 700.0  # exp of more is no float64


@dataclass(frozen=True)
class Window:
    """Describe one view of the stream: inputs `start` to `end`, scored from `first`.

    Input position i holds the token before target position i.
    """

    start: int
    first: int
    end: int


def windows(n_tokens: int, context_length: int, stride: int) -> Iterator[Window]:
    """Yield windows that score each of `n_tokens` targets once, in order.

    The context that a token is scored with does not depend on how much text comes after it.
    """
    if not 1 <= stride <= context_length:
        raise VariorumError(
            f"stride: {stride} does not lie between 1 and the model's context of "
            f"{context_length} tokens; give a stride that does"
        )
    if n_tokens:
        yield Window(0, 0, min(context_length, n_tokens))
    for first in range(context_length, n_tokens, stride):
        yield Window(first + stride - context_length, first, min(first + stride, n_tokens))


@dataclass(frozen=True)
class Scores:
    """Hold the scores of each token of a stream, all (N,).

    nats: minus the logarithm of its probability, in float64. ranks: how many other tokens were
    likelier, 0 for the likeliest; of equally likely tokens the lowest id comes first. confidences:
    probability of the likeliest.
    """

    nats: npt.NDArray[np.float64]
    ranks: npt.NDArray[np.int64]
    confidences: npt.NDArray[np.float64]


def score(
    model: GPT,
    tokens: npt.NDArray[np.integer],
    *,
    eot: int,
    stride: int,
    batch_rows: int = 16,
) -> Scores:
    """Score every token of the stream exactly once.

    Args:
        model: returns logits (B, T, V) for ids (B, T); its dropout is off while scoring.
        tokens: the stream (N,), such as a test part with its end-of-document tokens.
        eot: id of the end-of-document token, which the first token is predicted from.
        stride: new tokens scored per window, from 1 to the model's context length.
        batch_rows: most windows that go through the model at once.

    Raises:
        VariorumError: if the stride is not from 1 to the context length.
    """
    inputs = torch.from_numpy(np.concatenate([[eot], tokens[:-1]]).astype(np.int64))  # (N,)
    targets = torch.from_numpy(tokens.astype(np.int64))  # (N,)
    found = Scores(
        np.empty(len(tokens)), np.empty(len(tokens), dtype=np.int64), np.empty(len(tokens))
    )
    plan = windows(len(tokens), model.settings.context_length, stride)
    rows = windows_at_once(model, batch_rows)
    with evaluating(model) as device:
        for batch in _batches(plan, rows):
            ids = torch.stack([inputs[window.start : window.end] for window in batch]).to(device)
            for window, row in zip(batch, model(ids), strict=True):  # row: (T, V)
                place = slice(window.first, window.end)
                logits = row[window.first - window.start :].cpu().double()
                _note(found, place, logits, targets[place])
    return found


def _note(found: Scores, place: slice, logits: Tensor, targets: Tensor) -> None:
    """Write the scores of targets (S,), by their logits (S, V), to their place."""
    log_probabilities = logits.log_softmax(-1)
    own = log_probabilities.gather(-1, targets[:, None])  # (S, 1)
    found.nats[place] = -own[:, 0].numpy()
    ids = torch.arange(logits.shape[-1])
    before = (log_probabilities == own) & (ids < targets[:, None])  # as `generation` orders ties
    found.ranks[place] = ((log_probabilities > own) | before).sum(-1).numpy()
    found.confidences[place] = log_probabilities.amax(-1).exp().numpy()


def _batches(plan: Iterator[Window], rows: int) -> Iterator[list[Window]]:
    """Join neighbours of equal length; only the first window and the last may differ."""
    batch: list[Window] = []
    for window in plan:
        like = batch and batch[0].end - batch[0].start == window.end - window.start
        if batch and (not like or len(batch) == rows):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


@contextmanager
def evaluating(model: GPT) -> Iterator[torch.device]:
    """Turn off dropout and gradients in the block; yield the model's device.

    Afterwards the model trains again if it did before.
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield next(model.parameters(), torch.empty(0)).device
    finally:
        model.train(training)


def summary(
    nats: npt.NDArray[np.float64], *, n_bytes: int, n_characters: int
) -> dict[str, float | int]:
    """Summarize the scores of a whole text.

    The end-of-document tokens are paid for and hold no bytes: the model has to predict where a
    document ends.

    Args:
        nats: of every token (N,), as `score` returns them.
        n_bytes: UTF-8 bytes of the text that the tokens stand for.
        n_characters: its characters (code points).

    Returns:
        `bits_per_byte`, `nats_per_token`, `perplexity` (per token), `nats_per_character`, and
        the counts `tokens`, `bytes` and `characters`.

    Raises:
        VariorumError: if there is no text, or a token's cost is not finite.
    """
    if not len(nats) or n_bytes < 1 or n_characters < 1:
        raise VariorumError(
            f"evaluation: the text has {len(nats)} tokens, {n_bytes} bytes and {n_characters} "
            "characters, so there is nothing to average over; give a split with text in it"
        )
    total = math.fsum(nats)
    if not total / len(nats) < MOST_NATS:
        worst = int(np.argmax(~np.isfinite(nats))) if not np.isfinite(nats).all() else 0
        raise VariorumError(
            f"evaluation: the model's loss is not finite (token {worst} costs {nats[worst]} nats); "
            "train again with a lower learning rate"
        )
    return {
        "bits_per_byte": total / math.log(2) / n_bytes,
        "nats_per_token": total / len(nats),
        "perplexity": math.exp(total / len(nats)),
        "nats_per_character": total / n_characters,
        "tokens": len(nats),
        "bytes": n_bytes,
        "characters": n_characters,
    }
