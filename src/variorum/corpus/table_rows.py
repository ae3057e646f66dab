"""Read rows of tables one at a time, and find a file's delimiter.

The delimiter is the one with which the header has the requested columns. (`csv.Sniffer`
looks for regularity in the rows, which in prose is often a comma or a space.) A quote that is
never closed costs the line where it opens.
"""

import csv
import io
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from variorum.base.errors import VariorumError
from variorum.corpus.encodings import STRAY

_HEADER = 1 << 16  # characters that hold a header, quoted line ends and all
_DELIMITERS = ",;\t|"
_LARGEST_FIELD = 1 << 24  # characters; a quote that is never closed stops there
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class Row:
    """Hold one row: its columns by name, or what is wrong with it.

    `line` is where it begins, `raw` its text in the file.
    """

    line: int
    raw: str
    values: dict[str, str]
    fault: str = ""

    def wrong(self) -> str:
        """Return why the row cannot be read, or ""."""
        stray = not self.raw.isascii() and STRAY.search(self.raw)
        return self.fault or ("bytes that are no UTF-8" if stray else "")


class _Lines:
    """Yield the lines of a table, and let the current row's lines be read again."""

    def __init__(self, stream: TextIO) -> None:
        self.number = 0  # of the line that was given last
        self.row: list[str] = []
        self._stream, self._again = stream, deque[str]()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.row.append(self._again.popleft() if self._again else next(self._stream))
        self.number += 1
        return self.row[-1]

    def go_back(self) -> None:
        """Return all lines of this row except the first to the stream."""
        first, *others = self.row
        self.row = [first]
        self._again.extendleft(reversed(others))
        self.number -= len(others)


def table_rows(
    stream: TextIO, file: Path, delimiter: str, quote: str, columns: list[str]
) -> Iterator[Row]:
    """Yield the rows below the header; rows without any value are skipped."""
    csv.field_size_limit(_LARGEST_FIELD)
    lines = _Lines(stream)
    reader = csv.reader(lines, delimiter=delimiter, strict=True, **_quoting(quote))
    try:
        header = next(reader, [])
    except csv.Error as problem:
        raise VariorumError(f"{file}, line 1: the header cannot be read ({problem}).") from None
    _check_header(header, file, delimiter, columns)
    while True:
        line = lines.number + 1
        lines.row.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            fault = str(problem)
            if lines.number > line:
                fault = f"a quote opens that is not closed up to line {lines.number} ({problem})"
                lines.go_back()
            yield Row(line, "".join(lines.row), {}, fault)
            continue
        raw = "".join(lines.row)
        if len(cells) == len(header):
            yield Row(line, raw, dict(zip(header, cells, strict=True)))
        elif cells:
            fault = f"{len(cells)} columns where the header has {len(header)}"
            yield Row(line, raw, {}, fault)


def _quoting(quote: str) -> dict[str, Any]:
    """Return the parser's options for the quote; none differs from an empty one there."""
    return {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}


def _check_header(header: list[str], file: Path, delimiter: str, columns: list[str]) -> None:
    """Raise `VariorumError` unless the header has each of these columns once."""
    if missing := [name for name in columns if name not in header]:
        raise VariorumError(
            f"{file} has no column {' and no '.join(map(repr, missing))}; with "
            f"{NAMES.get(delimiter, delimiter)} between them it has {', '.join(header)}. Correct "
            "the names, or source.delimiter."
        )
    if twice := [name for name in columns if header.count(name) > 1]:
        raise VariorumError(
            f"{file} has more than one column {' and '.join(map(repr, twice))}, so it cannot be "
            "told which is meant; give each a name of its own."
        )


def json_rows(stream: TextIO, columns: list[str]) -> Iterator[Row]:
    """Yield a row per JSON line; numbers stay as spelled, null is empty."""
    for line, content in enumerate(stream, start=1):
        if not content.strip():
            continue
        try:
            data = json.loads(content, parse_int=str, parse_float=str, parse_constant=str)
        except (ValueError, RecursionError) as problem:
            yield Row(line, content, {}, f"no JSON ({str(problem).split(':')[0]})")
            continue
        if fault := _fault_of_object(data, columns):
            yield Row(line, content, {}, fault)
        else:
            yield Row(line, content, {name: _text(data[name]) for name in columns})


def _fault_of_object(data: Any, columns: list[str]) -> str:
    """Return why a JSON value is no row with these columns, or ""."""
    if not isinstance(data, dict):
        return "no JSON object"
    if missing := [name for name in columns if name not in data]:
        return f"no {', no '.join(missing)}"
    nested = [name for name in columns if isinstance(data[name], (dict, list))]
    return f"{', '.join(nested)} is no single value" if nested else ""


def _text(value: object) -> str:
    """Return a single JSON value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def delimiter_of(stream: TextIO, quote: str, columns: list[str]) -> str:
    """Find the delimiter by the header; rewind the stream.

    Among the delimiters with which the header has all `columns`, the most frequent one wins.
    """
    sample = stream.read(_HEADER)
    stream.seek(0)
    best, most = _DELIMITERS[0], (False, 0)
    for delimiter in _DELIMITERS:
        lines = io.StringIO(sample, newline="")
        header = next(csv.reader(lines, delimiter=delimiter, **_quoting(quote)), [])
        fits = (set(columns) <= set(header), len(header))
        if fits > most:
            best, most = delimiter, fits
    return best
