"""Score n-grams and compressors part by part, with the order that val chooses.

A score is of one of two kinds, and only scores of one kind compare. *Static*: who predicts learned
from train alone; PPMd adapts within a document and forgets it. *Adaptive*: who predicts learns from
each document, too, before the next one comes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from variorum.base.errors import VariorumError
from variorum.config.evaluation_settings import BaselineSettings
from variorum.corpus.documents import Document
from variorum.evaluation import compressors, ngrams
from variorum.evaluation.metrics import KINDS, Kind
from variorum.evaluation.parts import Bits, Parts, parts_of


@dataclass(frozen=True)
class Texts:
    """Hold the documents that baselines see.

    known: train without val, to choose by val. train: all that a model may learn from.
    """

    known: Sequence[Document]
    val: Sequence[Document]
    train: Sequence[Document]
    test: Sequence[Document]

    def __post_init__(self) -> None:
        if not any(document.text for document in self.test):
            raise VariorumError(
                "baselines: the test documents hold no text, so there are no bits per byte; "
                "give a split with text in it"
            )

    @cached_property
    def parts(self) -> Parts:
        """Return the parts of the test text."""
        return parts_of(self.test)


@dataclass(frozen=True)
class Costs:
    """Hold what one baseline needs for each part of the test text (G,), in bits.

    order: the one that val chose; None: it has none.
    """

    name: str
    kind: Kind
    bits: Bits
    order: int | None = None


def all_costs(texts: Texts, settings: BaselineSettings) -> Iterator[Costs]:
    """Yield the costs by every baseline.

    A single document has no static PPMd: there, nothing would be forgotten.
    """
    yield by_ngrams(texts, settings.most_ngram_order)
    for kind in KINDS:
        if kind == "adaptive" or len(texts.test) > 1:
            yield by_ppmd(texts, kind, settings.ppmd_orders)
    yield by_bz2(texts)
    yield by_xz(texts)


def by_ngrams(texts: Texts, most: int) -> Costs:
    """Return the costs by n-grams of the order, of 1 to `most`, that val chooses."""
    order = ngrams.best_order(_bytes(texts.known), _bytes(texts.val), most)
    nats = ngrams.nats(_bytes(texts.train), _bytes(texts.test), order)
    bits = texts.parts.sums(np.arange(len(nats)), nats / math.log(2))
    return Costs("ngram", "static", bits, order)


def by_ppmd(texts: Texts, kind: Kind, orders: Sequence[int]) -> Costs:
    """Return the costs by PPMd of that of the orders that val chooses."""
    adaptive = kind == "adaptive"
    known, val = _bytes(texts.known), _bytes(texts.val)
    order = compressors.best_order(known, val, orders, adaptive=adaptive)
    train, test = _bytes(texts.train), _bytes(texts.test)
    bits = compressors.ppmd_bits(train, test, texts.parts, order, adaptive=adaptive)
    return Costs("ppmd", kind, bits, order)


def by_bz2(texts: Texts) -> Costs:
    """Return the costs by bz2."""
    train, test = _bytes(texts.train), _bytes(texts.test)
    return Costs("bz2", "adaptive", compressors.bz2_bits(train, test, texts.parts))


def by_xz(texts: Texts) -> Costs:
    """Return the costs by xz."""
    train, test = _bytes(texts.train), _bytes(texts.test)
    return Costs("xz", "adaptive", compressors.xz_bits(train, test, texts.parts))


def _bytes(documents: Sequence[Document]) -> list[bytes]:
    return [document.text.encode() for document in documents]
