"""Score n-grams and compressors part by part, with the order that val chooses.

A score is of one of two kinds, and only scores of one kind compare. *Static*: who predicts learned
from train alone; PPMd adapts within a document and forgets it. *Adaptive*: who predicts learns from
each document, too, before the next one comes.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from variorum.base.errors import VariorumError
from variorum.config.evaluation_settings import BaselineSettings
from variorum.corpus import documents, splits
from variorum.corpus.documents import Document
from variorum.evaluation import compressors, ngrams
from variorum.evaluation.metrics import KINDS, Kind
from variorum.evaluation.parts import Bits, Parts, parts_of


@dataclass(frozen=True)
class Texts:
    """Hold the texts that baselines see.

    known: train without val, to choose by val. train: all that a model may learn from, or its end.
    unread: bytes of train before that.
    """

    known: Sequence[bytes]
    val: Sequence[bytes]
    train: Sequence[bytes]
    test: Sequence[Document]
    unread: int = 0

    @classmethod
    def read(
        cls, corpora: Sequence[tuple[Path, Path]], test: Sequence[Document], most: int
    ) -> "Texts":
        """Read the files of the corpora that were trained on.

        corpora: the train and val file of each; val is the last one's. most: symbols of train that
        are kept, from its end.
        """
        known = (
            document
            for train, val in corpora
            for document in splits.without_val(documents.read(train), documents.read(val))
        )
        train = (document for train, _ in corpora for document in documents.read(train))
        kept, unread = last_of(_bytes(train), most)
        return cls(
            known=last_of(_bytes(known), most)[0],
            val=list(_bytes(documents.read(corpora[-1][1]))),
            train=kept,
            test=test,
            unread=unread,
        )

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

    @property
    def of_train(self) -> dict[str, int]:
        """Return the bytes of train, and how many of them are read."""
        read = sum(map(len, self.train))
        return {"bytes": read + self.unread, "read": read}


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
    order = ngrams.best_order(texts.known, texts.val, most)
    nats = ngrams.nats(texts.train, _bytes(texts.test), order)
    bits = texts.parts.sums(np.arange(len(nats)), nats / math.log(2))
    return Costs("ngram", "static", bits, order)


def by_ppmd(texts: Texts, kind: Kind, orders: Sequence[int]) -> Costs:
    """Return the costs by PPMd of that of the orders that val chooses."""
    adaptive = kind == "adaptive"
    order = compressors.best_order(texts.known, texts.val, orders, adaptive=adaptive)
    test = list(_bytes(texts.test))
    bits = compressors.ppmd_bits(texts.train, test, texts.parts, order, adaptive=adaptive)
    return Costs("ppmd", kind, bits, order)


def by_bz2(texts: Texts) -> Costs:
    """Return the costs by bz2."""
    bits = compressors.bz2_bits(texts.train, list(_bytes(texts.test)), texts.parts)
    return Costs("bz2", "adaptive", bits)


def by_xz(texts: Texts) -> Costs:
    """Return the costs by xz."""
    bits = compressors.xz_bits(texts.train, list(_bytes(texts.test)), texts.parts)
    return Costs("xz", "adaptive", bits)


def last_of(texts: Iterable[bytes], most: int) -> tuple[list[bytes], int]:
    """Return the last so many symbols of texts, and the number of bytes before.

    Symbols are bytes and the end of each text. Where the limit falls within a text, the text's end
    is kept.
    """
    kept: deque[bytes] = deque()
    symbols = before = 0
    for text in texts:
        kept.append(text)
        symbols += len(text) + 1
        while symbols - len(kept[0]) - 1 >= most:
            first = kept.popleft()
            symbols -= len(first) + 1
            before += len(first)
    if (over := symbols - most) > 0:
        before += over
        kept[0] = kept[0][over:]
    return list(kept), before


def _bytes(documents: Iterable[Document]) -> Iterator[bytes]:
    return (document.text.encode() for document in documents)
