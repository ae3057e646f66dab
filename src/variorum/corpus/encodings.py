"""Detect the encoding of a text file and open it accordingly.

It is UTF-8 if all of the file is UTF-8 but for stray bytes (a UTF-16 file is recognized by its
byte-order mark), else the guess of charset-normalizer.
"""

import codecs
import re
from pathlib import Path
from typing import TextIO

from variorum.base.errors import VariorumError

_SAMPLE = 1 << 20  # bytes that an encoding is guessed from
_STRAYS = 10  # UTF-8 if at most one in so many bytes beyond ASCII is invalid
_BLOCK = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like UTF-16's, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ASCII = bytes(range(128))
STRAY = re.compile("[\udc80-\udcff]")  # a byte that is no UTF-8, by surrogateescape


def opened(file: Path, encoding: str) -> TextIO:
    """Open a file as text; bytes that are not UTF-8 become surrogates."""
    if codecs.lookup(encoding).name not in ("utf-8", "utf-8-sig"):
        return file.open(encoding=encoding, newline="")
    # The second is the first with a byte-order mark, or without one.
    return file.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def encoding_of(file: Path) -> tuple[str, bool]:
    """Return the encoding of a file, and whether it is a guess.

    A byte-order mark decides. Else it is UTF-8 if at least nine tenths of the bytes beyond ASCII
    are valid UTF-8, which no other encoding looks like. Else it is the likeliest encoding.

    Raises:
        VariorumError: if no encoding fits.
    """
    with file.open("rb") as stream:
        start = stream.read(len(codecs.BOM_UTF32_LE))
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name, False
    beyond, strays, first = _beyond_ascii(file)
    if _STRAYS * strays <= beyond:
        return "utf-8", False
    from charset_normalizer import from_bytes

    guess = from_bytes(_sample(file, first)).best()
    if guess is None:
        raise VariorumError(
            f"{file} is no UTF-8, and what else it is cannot be told; set source.encoding."
        )
    return guess.encoding, True


def _beyond_ascii(file: Path) -> tuple[int, int, int]:
    """Count bytes beyond ASCII and invalid UTF-8; locate the first invalid byte, roughly."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    beyond = strays = first = place = 0
    with file.open("rb") as stream:
        at_end = False
        while not at_end:
            block = stream.read(_BLOCK)
            at_end = not block
            text = decoder.decode(block, final=at_end)
            if (found := STRAY.search(text)) and not strays:
                first = place + len(text[: found.start()].encode())
            beyond += len(block.translate(None, _ASCII))
            strays += STRAY.subn("", text)[1]
            place += len(block)
    return beyond, strays, first


def _sample(file: Path, middle: int) -> bytes:
    """Return whole lines around a place, as a cut character would suggest another encoding.

    A line longer than a sample is cut all the same.
    """
    start = max(0, middle - _SAMPLE // 2)
    with file.open("rb") as stream:
        stream.seek(start)
        sample = stream.read(_SAMPLE)
    begin = sample.find(b"\n", 0, middle - start) + 1 if start else 0
    return sample[begin : sample.rfind(b"\n", middle - start) + 1 or len(sample)]
