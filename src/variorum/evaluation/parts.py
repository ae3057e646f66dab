"""Cut a test text into parts, and keep what each part costs.

Documents of one module, author or song cost alike, so a part is a whole group of documents. A text
of fewer than ten groups, such as one single text, is cut into forty blocks of neighbouring bytes
instead, which cannot see how a text varies over more than a block.

The text is a stream of symbols: the bytes of each document, and one for its end, which is paid for
and counts no byte. Whoever predicts it pays by the same parts, so scores compare by pairs.

`parts.csv` has a line for each part, in the order of the text: its name, its bytes, and the bits
that each who predicts it needs.
"""

import csv
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from variorum.corpus.documents import Document
from variorum.tokenizer.base import Tokenizer

LEAST_GROUPS = 10
BLOCKS = 40

Drawn = Literal["groups", "blocks"]
Bits = NDArray[np.float64]
Numbers = NDArray[np.int64]
Piece = tuple[int, bytes]
"""A part's number, and some of its bytes."""


@dataclass(frozen=True)
class Parts:
    """Hold the parts of a text of S symbols.

    drawn: what the parts are. names: of the parts (G,). of_symbols: the part of each symbol (S,).
    n_bytes: of each part (G,).
    """

    drawn: Drawn
    names: tuple[str, ...]
    of_symbols: Numbers
    n_bytes: Numbers

    def sums(self, symbols: Numbers, costs: Bits) -> Bits:
        """Return what each part costs (G,), given costs (N,) and the symbols where they begin."""
        sums: Bits = np.zeros(len(self.names))
        np.add.at(sums, self.of_symbols[symbols], costs)
        return sums

    def bits_of(self, tokenizer: Tokenizer, tokens: NDArray[np.integer], nats: Bits) -> Bits:
        """Return the bits of each part (G,), given the text's tokens and their nats (N,)."""
        return self.sums(symbols_of(tokenizer, tokens), nats / math.log(2))

    def pieces(self, documents: Sequence[bytes]) -> Iterator[list[Piece]]:
        """Yield each document, cut where one part ends; an empty one is one empty piece."""
        start = 0
        for document in documents:
            own = self.of_symbols[start : start + max(1, len(document))]
            cuts = [0, *(np.flatnonzero(np.diff(own)) + 1).tolist(), len(document)]
            yield [(int(own[first]), document[first:end]) for first, end in pairwise(cuts)]
            start += len(document) + 1


def parts_of(documents: Iterable[Document]) -> Parts:
    """Return the groups of documents in order, or blocks if they are few."""
    places: dict[str, int] = {}
    sizes = [
        (len(document.text.encode()), places.setdefault(document.group, len(places)))
        for document in documents
    ]
    lengths, groups = np.array(sizes, dtype=np.int64).reshape(-1, 2).T
    of_symbols: Numbers = np.repeat(groups, lengths + 1)
    if len(places) >= LEAST_GROUPS:
        return _parts("groups", tuple(places), of_symbols, lengths)
    count = min(BLOCKS, len(of_symbols))
    blocks: Numbers = np.arange(len(of_symbols)) * count // max(1, len(of_symbols))
    return _parts("blocks", tuple(f"block {n + 1}" for n in range(count)), blocks, lengths)


def one_part(documents: Sequence[bytes]) -> Parts:
    """Return the whole text as one part."""
    lengths = np.array([len(document) for document in documents], dtype=np.int64)
    return _parts("blocks", ("all",), np.zeros(int((lengths + 1).sum()), dtype=np.int64), lengths)


def symbols_of(tokenizer: Tokenizer, tokens: NDArray[np.integer]) -> Numbers:
    """Return the symbol that each token of a text begins at (N,)."""
    lengths = [len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size)]
    lengths[tokenizer.eot] = 1
    each = np.array(lengths, dtype=np.int64)[tokens]
    begins: Numbers = np.cumsum(each) - each
    return begins


def write(path: Path, parts: Parts, columns: Mapping[str, Bits]) -> None:
    """Write the parts with what they cost; `columns` hold the bits of each part (G,)."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["part", "bytes", *columns])
        for place, name in enumerate(parts.names):
            costs = (float(each[place]) for each in columns.values())
            lines.writerow([name, int(parts.n_bytes[place]), *costs])


def read(path: Path) -> tuple[Numbers, dict[str, Bits]]:
    """Return the bytes of each part (G,), and by column what each part costs (G,)."""
    csv.field_size_limit(sys.maxsize)  # a group's name may be long
    with path.open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    n_bytes: Numbers = np.array([line[1] for line in lines], dtype=np.int64)
    return n_bytes, {
        name: np.array([line[place] for line in lines], dtype=np.float64)
        for place, name in enumerate(header)
        if place >= 2
    }


def _parts(drawn: Drawn, names: tuple[str, ...], of_symbols: Numbers, lengths: Numbers) -> Parts:
    ends = np.cumsum(lengths + 1) - 1
    n_symbols = np.bincount(of_symbols, minlength=len(names))
    n_bytes: Numbers = n_symbols - np.bincount(of_symbols[ends], minlength=len(names))
    return Parts(drawn, names, of_symbols, n_bytes)
