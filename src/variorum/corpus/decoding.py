"""Decode the bytes of texts and tables, or say what to do; guess nothing.

A wrong guess would pass silently and be trained on. A text must be UTF-8. A table may say by a
byte-order mark that it is UTF-16 or UTF-32, or the settings name its encoding; a few stray bytes
in UTF-8 cost their rows.
"""

import codecs
import re
from pathlib import Path
from typing import TextIO

from variorum.base.errors import VariorumError
from variorum.corpus.encoding_candidates import readings

STRAY = re.compile("[\udc80-\udcff]")
"""A byte that is no UTF-8, by surrogateescape."""

# Bytes that no text has: the control characters but for tab, line ends, form feed and escape.
_CONTROL = bytes(sorted({*range(0x20), 0x7F} - {*b"\t\n\v\f\r\x1b"}))
_MOST_CONTROL = 0.01  # share of the bytes; old texts do have a stray one
_ASCII = bytes(range(128))
_STRAYS = 10  # UTF-8 if at most one in so many bytes beyond ASCII is invalid
_BLOCK = 1 << 20
_EXCERPT = 1 << 12  # bytes of a line that candidates are compared by
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like UTF-16's, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNPACK = "unpack it, and name what is in it"
_EXPORT = "export its text as UTF-8"
_FORMATS = (
    (rb"\x1f\x8b", "compressed by gzip", _UNPACK),
    (rb"BZh[1-9]1AY&SY", "compressed by bzip2", _UNPACK),
    (rb"\xfd7zXZ\x00", "compressed by xz", _UNPACK),
    (rb"\x28\xb5\x2f\xfd", "compressed by zstd", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"PK\x03\x04", "a zip archive (.docx, .xlsx and .epub are ones)", f"{_UNPACK}, or {_EXPORT}"),
    (rb"%PDF-", "a PDF document", _EXPORT),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of Word or Excel", _EXPORT),
    (rb"\{\\rtf", "a document in rich text (RTF)", _EXPORT),
    (rb"PAR1", "a Parquet file", "export it as JSON lines or CSV"),
    (rb"SQLite format 3\x00", "an SQLite database", "export a table of it as JSON lines or CSV"),
    (
        rb"version https://git-lfs\.github\.com/spec/",
        "a pointer of Git LFS in place of the file",
        "fetch the file itself, for example with `git lfs pull`",
    ),
)


def refuse_other_formats(start: bytes, name: str) -> None:
    """Raise `VariorumError` if data that begin so are known to be no plain text."""
    for pattern, what, remedy in _FORMATS:
        if re.match(pattern, start):
            raise VariorumError(f"{name} is {what}, no plain text; {remedy}.")


def decode(data: bytes, name: str) -> str:
    """Return the text in `data`, without a byte-order mark.

    Raises `VariorumError`, which calls the data `name`, when it is not UTF-8 or no text at all.
    """
    refuse_other_formats(data[:64], name)
    if (mark := _mark(data)) not in (None, "utf-8"):
        utf = str(mark).upper()
        raise VariorumError(
            f"{name} is {utf} (it begins with its byte-order mark); convert it to UTF-8, "
            f"for example with `iconv -f {utf} -t UTF-8`."
        )
    if (nul := data.find(0)) >= 0:
        raise VariorumError(
            f"{name} is no text: byte {nul} is NUL. Leave the file out; if it is UTF-16 or "
            "UTF-32, convert it to UTF-8."
        )
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as problem:
        offset = problem.start + (len(codecs.BOM_UTF8) if mark else 0)
        line = data.count(10, 0, offset) + 1
        shown = readings(*_line_around(data, offset))
        raise VariorumError(
            f"{name} is no UTF-8: byte {offset} (line {line}) is 0x{data[offset]:02x}. Convert the "
            "file to UTF-8, for example with `iconv -f WINDOWS-1252 -t UTF-8` if it is that"
            f"{f': it reads {shown}' if shown else ''}."
        ) from None
    control = len(data) - len(data.translate(None, delete=_CONTROL))
    if control > _MOST_CONTROL * len(data):
        raise VariorumError(
            f"{name} is no text: {control} of its {len(data)} bytes are control characters. "
            "Leave the file out."
        )
    return text


def opened(file: Path, encoding: str, newline: str) -> TextIO:
    """Open a file as text behind its byte-order marks.

    Bytes that are no UTF-8 become surrogates. Two marks stand where two programs wrote one each.
    newline: what lines end with.
    """
    is_utf_8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    stream = file.open(
        encoding="utf-8" if is_utf_8 else encoding,
        errors="surrogateescape" if is_utf_8 else "strict",
        newline=newline,
    )
    begin = stream.tell()
    while stream.read(1) == "\ufeff":
        begin = stream.tell()
    stream.seek(begin)
    return stream


def encoding_of(file: Path) -> str:
    """Return the encoding of a table: what its byte-order mark says, or else UTF-8.

    It is UTF-8 if at least nine tenths of the bytes beyond ASCII are valid UTF-8, which no other
    encoding looks like.

    Raises:
        VariorumError: if it is none of these; with candidates, and how they read the first place
            that is no UTF-8.
    """
    with file.open("rb") as stream:
        start = stream.read(64)
    refuse_other_formats(start, str(file))
    if mark := _mark(start):
        return mark
    found = _Scan.of(file)
    if found.control > _MOST_CONTROL * found.n_bytes:
        raise VariorumError(
            f"{file}: {found.control:,} of its {found.n_bytes:,} bytes are control characters; if "
            "it is UTF-16 or UTF-32 without a byte-order mark, set source.encoding to utf-16-le or "
            "the like; else it is no text: leave it out."
        )
    if _STRAYS * found.strays <= found.beyond_ascii:
        return "utf-8"
    with file.open("rb") as stream:
        start_of_excerpt = max(0, found.first - _EXCERPT)
        stream.seek(start_of_excerpt)
        excerpt = stream.read(2 * _EXCERPT)
    offset = found.first - start_of_excerpt
    shown = readings(*_line_around(excerpt, offset))
    raise VariorumError(
        f"{file} is no UTF-8: byte {found.first} (line {found.line}) is 0x{excerpt[offset]:02x}. "
        "Its encoding is not guessed: set source.encoding, or convert it to UTF-8. "
        f"{f'It reads {shown}.' if shown else 'It may be no text at all.'}"
    )


def _mark(start: bytes) -> str | None:
    """Return the encoding that a byte-order mark names, or None."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), None)


class _Scan:
    """Count the bytes of a file, and locate the first that is no UTF-8."""

    def __init__(self) -> None:
        self.n_bytes = self.beyond_ascii = self.strays = self.control = 0
        self.first, self.line = 0, 1  # offset and line of the first stray

    @classmethod
    def of(cls, file: Path) -> "_Scan":
        """Read the whole file, block by block."""
        found, lines = cls(), 1
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        with file.open("rb") as stream:
            at_end = False
            while not at_end:
                block = stream.read(_BLOCK)
                at_end = not block
                held = len(decoder.getstate()[0])
                text = decoder.decode(block, final=at_end)
                if (stray := STRAY.search(text)) and not found.strays:
                    before = text[: stray.start()]
                    found.first = found.n_bytes - held + len(before.encode())
                    found.line = lines + before.count("\n")
                found.strays += len(STRAY.findall(text)) if stray else 0
                found.beyond_ascii += len(block.translate(None, _ASCII))
                found.control += len(block) - len(block.translate(None, _CONTROL))
                found.n_bytes += len(block)
                lines += text.count("\n")
        return found


def _line_around(data: bytes, offset: int) -> tuple[bytes, int]:
    """Return the line that a byte is in, or some of it, and its place."""
    begin = max(data.rfind(b"\n", 0, offset) + 1, offset - _EXCERPT)
    end = data.find(b"\n", offset)
    return data[begin : min(end if end >= 0 else len(data), offset + _EXCERPT)], offset - begin
