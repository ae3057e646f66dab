"""Measure general-purpose compressors on the same text, as lines for a model to cross.

A compressor that has just read the training text is a language model, too: what a document adds to
the size of the archive is its cost. It knows the train part of the corpus in question and pays for
the same bytes as a model.

    bits = 8 · (|C(known + document)| - |C(known)|)

Two kinds of score follow. *Adaptive*: the documents come one after the other, and the compressor
learns from each before it sees the next. *Static*: each comes alone behind the training text.
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
import os
from collections.abc import Iterator, Sequence

import pyppmd

from variorum.base.errors import VariorumError

BLANK_LINE = b"\n\n"
BLOCK = 899_981  # bytes that bz2 sorts at once, at its highest level, where none repeats
LEAST_DICTIONARY = 4096  # bytes; what xz accepts
MOST_DICTIONARY = 1 << 28  # bytes; xz needs about eleven times its dictionary as memory
PPMD_MEMORY = 1 << 28  # bytes; when they are full, PPMd forgets everything

ORDERS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64)
"""The orders of PPMd that val chooses from."""


def bz2_bits(train: Sequence[bytes], documents: Sequence[bytes]) -> int:
    """Return what the documents cost, each behind the text that fits into one block with it."""
    return sum(
        8 * (len(bz2.compress(known + new)) - len(bz2.compress(known)))
        for known, new in _blocks(_joined(train), _behind(train, documents), BLOCK)
    )


def xz_bits(train: Sequence[bytes], documents: Sequence[bytes]) -> int:
    """Return what the documents cost, one after the other, behind the training text."""
    known, new = _joined(train), _behind(train, documents)
    size = len(known) + len(new)
    return 8 * (len(_xz(known + new, size)) - len(_xz(known, size)))


def ppmd_bits(
    train: Sequence[bytes], documents: Sequence[bytes], order: int, *, adaptive: bool
) -> list[int]:
    """Return the bits of each document; adaptive: behind those before it, not behind train alone.

    Raises:
        VariorumError: if the order is out of PPMd's range.
    """
    if not 2 <= order <= 64:
        raise VariorumError(f"PPMd of order {order}; give 2 to 64")
    encoder = pyppmd.Ppmd7Encoder(order, PPMD_MEMORY)
    known = _joined(train)
    written = len(encoder.encode(known)) if known else 0
    before, costs = written + _rest(encoder, b""), []
    for place, document in enumerate(documents):
        new = document if not known and (place == 0 or not adaptive) else BLANK_LINE + document
        if adaptive:
            written += len(encoder.encode(new))
            after = written + _rest(encoder, b"")
            costs.append(8 * (after - before))
            before = after
        else:
            costs.append(8 * (written + _rest(encoder, new) - before))
    return costs


def best_order(train: Sequence[bytes], val: Sequence[bytes], *, adaptive: bool) -> int:
    """Return the order of PPMd that needs the fewest bits for val."""
    return min(ORDERS, key=lambda order: sum(ppmd_bits(train, val, order, adaptive=adaptive)))


def _rest(encoder: pyppmd.Ppmd7Encoder, text: bytes) -> int:
    """Return how many bytes an encoder would write for a text and its end, and leave it as it is.

    The library cannot copy an encoder, so a copy of the process finds out.
    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        length = len(encoder.encode(text)) if text else 0
        os.write(write, (length + len(encoder.flush())).to_bytes(8))
        os._exit(0)
    os.close(write)
    answer = os.read(read, 8)
    os.close(read)
    os.waitpid(child, 0)
    return int.from_bytes(answer)


def _joined(documents: Sequence[bytes]) -> bytes:
    return BLANK_LINE.join(documents)


def _behind(train: Sequence[bytes], documents: Sequence[bytes]) -> bytes:
    """Return the documents, joined, as they follow the training text."""
    return (BLANK_LINE if train else b"") + _joined(documents)


def _blocks(known: bytes, new: bytes, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Cut new text into pieces of half a block at most, each with what fits before it."""
    half = size // 2
    for start in range(0, len(new), half):
        piece = new[start : start + half]
        before = known + new[:start]
        yield before[max(0, len(before) - (size - len(piece))) :], piece


def _xz(data: bytes, dictionary: int) -> bytes:
    size = min(max(dictionary, LEAST_DICTIONARY), MOST_DICTIONARY)
    preset = 9 | lzma.PRESET_EXTREME
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": size}]
    return lzma.compress(data, format=lzma.FORMAT_XZ, filters=filters)
