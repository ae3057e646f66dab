r"""Read a file of documents in spans of bounded size, which processes can share.

A span is a run of whole lines, or part of the text of a longer line. A long text is cut before a
space or a line end that a sign follows, and not between \r and \n. No pretoken and no line contains
such a place in its middle, and normal forms of the two sides, joined, are the normal form of the
whole. The cuts are found in the JSON as it stands, so whoever cuts need not decode.
"""

import json
import re
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from variorum.corpus import documents
from variorum.corpus.documents import Document

SIZE = 1 << 20
"""Bytes of JSON that are read together; more only where a text cannot be cut."""

_BEFORE_TEXT = b'"text": "'
_AFTER_TEXT = b'"}'
# A backslash that begins an escape has none before it. What follows is a sign in ASCII or from
# scripts whose first byte in UTF-8 begins no white space; a quote would end the text.
_CUT = re.compile(rb"(?<!\\)(?<!\\r)(?: |\\n)(?=[!#-\[\]-~\xc3-\xdf\xe4-\xf4]|\xe3[\x81-\xbf])")
_NEAR_END = 1 << 12  # bytes that are searched for a cut first


@dataclass(frozen=True)
class Span:
    """Hold where whole lines of a file are, or a part of one text.

    start, size: in bytes. line: the number of the first line, from 1. within: the document with
    that text, here "". is_last: whether a document ends with the span.
    """

    path: Path
    line: int
    start: int
    size: int
    within: Document | None = None
    is_last: bool = True

    def read(self) -> list[Document]:
        """Return the documents of the span.

        A part of a text is one document with that part. Raises `VariorumError` for a line that is
        no document, naming file and line.
        """
        with self.path.open("rb") as file:
            file.seek(self.start)
            content = file.read(self.size)
        if self.within is None:
            return list(documents.parsed(BytesIO(content), self.path, self.line))
        with documents.naming(self.path, self.line):
            return [replace(self.within, text=json.loads(b'"%b"' % content))]


def spans(path: Path, size: int = SIZE) -> Iterator[Span]:
    """Yield the spans of a file, in order."""
    start, line = 0, 1
    with path.open("rb") as file:
        while block := _read(file, start, size):
            stop = block.rfind(b"\n") + 1 if len(block) == size else len(block)
            if not stop and (head := _head(block)):
                document, begin = head
                parts = Span(path, line, start + begin, size, document)
                start = yield from _parts(file, parts)
                line += 1
                continue
            if not stop:
                stop = size + len(file.readline())
            yield Span(path, line, start, stop)
            start += stop
            line += max(1, block.count(b"\n", 0, stop))


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _head(block: bytes) -> tuple[Document, int] | None:
    """Return the document that a long line begins, and where its text does.

    The document has no text. None if its text is not last, as it is in our own files.
    """
    for found in re.finditer(_BEFORE_TEXT, block):
        with suppress(ValueError):
            return documents.of_line(block[: found.end()] + _AFTER_TEXT), found.end()
    return None


def _parts(file: BinaryIO, rest: Span) -> Generator[Span, None, int]:
    """Yield the parts of the text of `rest`; return where its line ends."""
    start, size = rest.start, rest.size
    while True:
        block = _read(file, start, size)
        stop = block.find(b"\n")
        if stop < 0 and len(block) < size:
            stop = len(block)
        if stop >= 0:
            yield replace(rest, start=start, size=stop - len(_AFTER_TEXT))
            return start + stop + 1
        if cut := _last_cut(block):
            yield replace(rest, start=start, size=cut, is_last=False)
            start, size = start + cut, rest.size
        else:
            size *= 2


def _last_cut(block: bytes) -> int:
    """Return where to cut near the end of a block, or 0."""
    near = max(1, len(block) - _NEAR_END)
    for begin in (near, 1):
        if cut := _CUT.search(block, begin):
            return cut.start()
    return 0
