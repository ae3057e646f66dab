"""Score n-grams and PPMd document by document, with the order that val chooses.

A score is of one of two kinds, and only scores of one kind compare. *Static*: who predicts learned
from train alone; PPMd adapts within a document and forgets it. *Adaptive*: who predicts learns from
each document, too, before the next one comes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from variorum.base.errors import VariorumError
from variorum.evaluation import compressors, ngrams

Kind = Literal["static", "adaptive"]
KINDS: tuple[Kind, ...] = ("static", "adaptive")


@dataclass(frozen=True)
class Texts:
    """Hold the documents that baselines see, as bytes.

    known: train without val, to choose by val. train: all that a model may learn from.
    """

    known: Sequence[bytes]
    val: Sequence[bytes]
    train: Sequence[bytes]
    test: Sequence[bytes]

    def __post_init__(self) -> None:
        if not self.n_bytes:
            raise VariorumError(
                "baselines: the test documents hold no text, so there are no bits per byte; "
                "give a split with text in it"
            )

    @property
    def n_bytes(self) -> int:
        """Return the bytes of the test documents."""
        return sum(map(len, self.test))


@dataclass(frozen=True)
class Costs:
    """Hold what one baseline needs for each test document (D,), in bits."""

    name: str
    kind: Kind
    order: int
    bits: NDArray[np.float64]


def by_ngrams(texts: Texts, most: int) -> Costs:
    """Return the costs by n-grams of the order, of 1 to `most`, that val chooses."""
    order = ngrams.best_order(texts.known, texts.val, most)
    nats = ngrams.nats(texts.train, texts.test, order)
    ends = np.cumsum([len(document) + 1 for document in texts.test])  # with its end
    bits = np.add.reduceat(nats, np.concatenate([[0], ends[:-1]])) / math.log(2)
    return Costs("ngram", "static", order, bits)


def by_ppmd(texts: Texts, kind: Kind) -> Costs:
    """Return the costs by PPMd of the order that val chooses."""
    adaptive = kind == "adaptive"
    order = compressors.best_order(texts.known, texts.val, adaptive=adaptive)
    bits = compressors.ppmd_bits(texts.train, texts.test, order, adaptive=adaptive)
    return Costs("ppmd", kind, order, np.array(bits, dtype=np.float64))
