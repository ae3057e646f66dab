"""Measure general-purpose compressors on the same text, as lines for a model to cross.

A compressor that has just read the training text is a language model, too: what a document adds to
the size of the archive is its cost. It knows the train part of the corpus in question and pays for
the same bytes as a model.

    bits = 8 · (|C(known + document)| - |C(known)|)

Two kinds of score follow. *Adaptive*: the documents come one after the other, and the compressor
learns from each before it sees the next. *Static*: each comes alone behind the training text. A
part of a text costs what it adds to the archive behind what comes before it.
Documents are joined by a blank line, which plays the part of the end-of-document token: the
compressor pays for it, and it is not counted among the bytes of the text.

- bz2 sorts blocks of 900 kB, each by itself, so the text that is known is cut to what fits into
  one block with the documents.
- xz is given a dictionary that holds the whole text.
- PPMd (variant H, as in 7-Zip; Shkarin 2002) predicts each byte by the longest context it has seen,
  of up to `order` bytes.
"""

import bz2
import lzma
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyppmd

from variorum.base.errors import VariorumError
from variorum.evaluation.parts import Bits, Parts, Piece, one_part

BLANK_LINE = b"\n\n"
BLOCK = 899_981  # bytes that bz2 sorts at once, at its highest level, where none repeats
LEAST_DICTIONARY = 4096  # bytes; what xz accepts
MOST_DICTIONARY = 1 << 28  # bytes; xz needs about eleven times its dictionary as memory
PPMD_MEMORY = 1 << 28  # bytes; when they are full, PPMd forgets everything

MOST_TRIED = 128
"""Documents of val that choose the order of static scores."""


def bz2_bits(train: Sequence[bytes], documents: Sequence[bytes], parts: Parts) -> Bits:
    """Return what each part costs (G,), with the text that fits into its block."""
    costs = np.zeros(len(parts.names))
    for known, block in _blocks(_joined(train), _following(train, documents, parts), BLOCK):
        encoder = bz2.BZ2Compressor()
        _Archive(encoder.compress, encoder.flush).add(known, block, costs)
    return costs


def xz_bits(train: Sequence[bytes], documents: Sequence[bytes], parts: Parts) -> Bits:
    """Return what each part costs (G,), one document after the other, behind train."""
    costs = np.zeros(len(parts.names))
    length = sum(len(text) + len(BLANK_LINE) for text in (*train, *documents))
    encoder = _xz(length)
    archive = _Archive(encoder.compress, encoder.flush)
    archive.add(_joined(train), _following(train, documents, parts), costs)
    return costs


def ppmd_bits(
    train: Sequence[bytes], documents: Sequence[bytes], parts: Parts, order: int, *, adaptive: bool
) -> Bits:
    """Return what each part costs (G,), each document behind those before it, or behind train.

    Raises:
        VariorumError: if the order is out of PPMd's range.
    """
    if not 2 <= order <= 64:
        raise VariorumError(f"PPMd of order {order}; give 2 to 64")
    encoder = pyppmd.Ppmd7Encoder(order, PPMD_MEMORY)
    archive = _Archive(encoder.encode, encoder.flush)
    costs = np.zeros(len(parts.names))
    if adaptive:
        archive.add(_joined(train), _following(train, documents, parts), costs)
    else:
        archive.write(_joined(train))
        before, lead = archive.length(), BLANK_LINE if train else b""
        for pieces in parts.pieces(documents):
            archive.try_out(lead, pieces, costs, before)
    return costs


def best_order(
    train: Sequence[bytes], val: Sequence[bytes], orders: Sequence[int], *, adaptive: bool
) -> int:
    """Return the order of PPMd that needs the fewest bits for val.

    Of equal ones it is the first. Static scores take a try for each document, so they are of at
    most `MOST_TRIED`, spread evenly.
    """
    if len(orders) == 1:
        return orders[0]
    new = [_joined(val)] if adaptive else val[:: math.ceil(len(val) / MOST_TRIED) or 1]
    whole = one_part(new)

    def cost(order: int) -> float:
        return float(ppmd_bits(train, new, whole, order, adaptive=adaptive).sum())

    return min(orders, key=cost)


@dataclass
class _Archive:
    """Hold an archive that grows piece by piece, and its bytes so far."""

    compress: Callable[[bytes], bytes]
    flush: Callable[[], bytes]
    written: int = 0

    def write(self, text: bytes) -> None:
        """Append a text."""
        self.written += len(self.compress(text)) if text else 0

    def length(self, text: bytes = b"") -> int:
        """Return the bytes of the archive if it ended behind this text.

        It stays as it is. Encoders cannot be copied, so a copy of the process finds out.
        """
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                self.write(text)
                os.write(write, (self.written + len(self.flush())).to_bytes(8))
                os._exit(0)
            finally:  # nothing else of this process may run twice
                os._exit(1)
        os.close(write)
        answer = os.read(read, 8)
        os.close(read)
        _, status = os.waitpid(child, 0)
        if len(answer) < 8:
            raise VariorumError(
                f"a compressor ended without an answer, with status {status}; there may be too "
                "little memory: give more, or run fewer jobs at once"
            )
        return int.from_bytes(answer)

    def add(self, known: bytes, pieces: Iterable[Piece], costs: Bits) -> None:
        """Append what is known, then the pieces, and add their bits to costs (G,)."""
        self.write(known)
        before = self.length()
        for part, piece in pieces:
            self.write(piece)
            after = self.length()
            costs[part] += 8 * (after - before)
            before = after

    def try_out(self, text: bytes, pieces: Iterable[Piece], costs: Bits, before: int) -> None:
        """Add the bits of pieces behind a text to costs (G,), without appending any.

        before: the archive's length.
        """
        for part, piece in pieces:
            text += piece
            after = self.length(text)
            costs[part] += 8 * (after - before)
            before = after


def _joined(documents: Sequence[bytes]) -> bytes:
    return BLANK_LINE.join(documents)


def _following(train: Sequence[bytes], documents: Sequence[bytes], parts: Parts) -> Iterator[Piece]:
    """Yield the documents as they follow the training text, cut where one part ends."""

    def pieces() -> Iterator[Piece]:
        lead = BLANK_LINE if train else b""
        for document in parts.pieces(documents):
            for part, piece in document:
                yield part, lead + piece
                lead = b""
            lead = BLANK_LINE

    for part, own in groupby(pieces(), key=lambda piece: piece[0]):
        yield part, b"".join(text for _, text in own)


def _blocks(
    known: bytes, pieces: Iterable[Piece], size: int
) -> Iterator[tuple[bytes, list[Piece]]]:
    """Yield blocks of half the size at most, each with what fits before it."""
    half = size // 2
    block: list[Piece] = []
    room = half
    for part, whole in pieces:
        piece = whole
        while piece:
            block.append((part, piece[:room]))
            piece, room = piece[room:], room - len(piece[:room])
            if not room:
                yield known[-(size - half) :], block
                known = (known + b"".join(text for _, text in block))[-size:]
                block, room = [], half
    if block:
        yield known[-(size - half + room) :], block


def _xz(dictionary: int) -> lzma.LZMACompressor:
    size = min(max(dictionary, LEAST_DICTIONARY), MOST_DICTIONARY)
    preset = 9 | lzma.PRESET_EXTREME
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": size}]
    return lzma.LZMACompressor(format=lzma.FORMAT_XZ, filters=filters)
