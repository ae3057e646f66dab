"""Measure general-purpose compressors on the same text, as a line for the model to cross.

A compressor that has just read the training text is a language model, too: what the test text adds
to the size of the archive is its cost. It knows the train part of the corpus in question and pays
for the same bytes as a model.

    bits per byte = 8 · (|C(train + test)| - |C(train)|) / |test|

Documents are joined by a blank line, which plays the part of the end-of-document token: the
compressor pays for it, and it is not counted among the bytes of the text.

The two see training text differently, on purpose: bz2 sorts blocks of 900 kB and
forgets the earlier ones; xz is given a dictionary that holds the whole text.
"""

import bz2
import lzma
from collections.abc import Callable, Iterable

from variorum.base.errors import VariorumError

BLANK_LINE = b"\n\n"
LEAST_DICTIONARY = 4096  # bytes; what xz accepts
MOST_DICTIONARY = 1 << 28  # bytes; xz needs about eleven times its dictionary as memory


def compressors(train: Iterable[str], test: Iterable[str]) -> dict[str, float]:
    """Return the bits per byte of the test documents, for bz2 and for xz.

    Both know the training documents.

    Raises:
        VariorumError: if the test documents hold no text.
    """
    known = BLANK_LINE.join(document.encode() for document in train)
    new = [document.encode() for document in test]
    n_bytes = sum(len(document) for document in new)
    if not n_bytes:
        raise VariorumError(
            "baselines: the test documents hold no text, so there are no bits per byte; "
            "give a split with text in it"
        )
    text = BLANK_LINE.join([known, *new]) if known else BLANK_LINE.join(new)

    def cost(compress: Callable[[bytes], bytes]) -> float:
        return 8 * (len(compress(text)) - len(compress(known))) / n_bytes

    return {"bz2": cost(bz2.compress), "xz": cost(lambda data: _xz(data, len(text)))}


def _xz(data: bytes, dictionary: int) -> bytes:
    size = min(max(dictionary, LEAST_DICTIONARY), MOST_DICTIONARY)
    preset = 9 | lzma.PRESET_EXTREME
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": size}]
    return lzma.compress(data, format=lzma.FORMAT_XZ, filters=filters)
