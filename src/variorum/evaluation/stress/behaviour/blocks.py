"""Score blocks of held-out text, each behind context of a chosen kind and length."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from variorum.evaluation.bits import evaluating
from variorum.evaluation.stress.behaviour.estimates import Values, means_by, spread, units_of
from variorum.evaluation.stress.subject import Integers, StressedModel
from variorum.model.gpt import GPT
from variorum.model.logit_memory import windows_at_once

MOST_TOKENS = 4096  # scored, of all blocks together
LEAST_BLOCKS = 12
ROWS = 64  # that go through the model at once, if they are short


@dataclass(frozen=True)
class ScoredBlocks:
    """Hold blocks of half a context of tokens from all over the held-out text.

    Every block has at least a whole context of text before it. A text that is too short has none.
    """

    subject: StressedModel

    @property
    def length(self) -> int:
        """Return the tokens of a block."""
        return max(1, self.subject.context_length // 2)

    @property
    def stream(self) -> Integers:
        """Return the held-out text (N,)."""
        return self.subject.texts.held_out

    @cached_property
    def _chosen(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the starts (P,) of the blocks, and the unit of each."""
        starts = np.arange(
            self.subject.context_length, len(self.stream) - self.length + 1, self.length
        )
        units = units_of(self.subject.texts.groups[starts])
        chosen = spread(units, max(LEAST_BLOCKS, MOST_TOKENS // self.length))
        return starts[chosen], units[chosen]

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Return where the blocks begin in `stream` (P,)."""
        return self._chosen[0]

    @property
    def units(self) -> npt.NDArray[np.int64]:
        """Return the unit that each block belongs to (P,)."""
        return self._chosen[1]

    def tokens(self, length: int) -> npt.NDArray[np.int64]:
        """Return the first tokens of each block (P, length)."""
        places = self.starts[:, None] + np.arange(length)
        found: npt.NDArray[np.int64] = self.stream[places].astype(np.int64)
        return found

    def before(self, start: int, length: int) -> Integers:
        """Return the tokens before a place of `stream` (length,), or what there is."""
        return self.stream[max(0, start - length) : start]

    def frequency_nats(self, length: int) -> Values:
        """Return the nats of each block (P,) by the frequency of tokens in train alone.

        Each token counts once more than it occurs (Laplace's rule), so that none is impossible.
        """
        counts = self.subject.texts.train_counts + 1.0
        return np.asarray(-np.log(counts / counts.sum())[self.tokens(length)].sum(1))

    def bits_per_token(self, nats: Values, length: int) -> Values:
        """Return the mean of each unit (U,).

        nats: of the first `length` tokens of each block together (P,).
        """
        return means_by(self.units, nats / (length * math.log(2)))


def nats_of(model: GPT, rows: Sequence[Integers], last: int) -> Values:
    """Return the nats of the last tokens of each row together (R,).

    Args:
        model: its dropout is off while scoring.
        rows: tokens of one length (R, T), of which all but the last are read.
        last: how many tokens at a row's end are scored, less than T.
    """
    if not len(rows):
        return np.empty(0)
    ids = torch.from_numpy(np.array(rows).astype(np.int64))  # (R, T)
    at_once = ROWS * windows_at_once(model, model.settings.context_length) // max(1, ids.shape[1])
    sums = []
    with evaluating(model) as device:
        for part in torch.split(ids, max(1, at_once)):
            features = model.features(part[:, :-1].to(device))[:, -last:]  # (B, last, C)
            logits = model.head(features).cpu().double()  # (B, last, V)
            targets = part[:, -last:, None]
            sums.append(-logits.log_softmax(-1).gather(-1, targets)[..., 0].sum(1).numpy())
    return np.concatenate(sums)
