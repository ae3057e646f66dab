"""Read rows of tables one by one; find out how a table is written.

The delimiter is the one with which the header has the requested columns. (`csv.Sniffer`
looks for regularity in the rows, which in prose is often a comma or a space.) Rows end as the
header does; another line-end character inside a row is part of a value. Whether quotes enclose the
values of a .tsv file is decided by what only spreadsheets write, and asked for where nothing
tells. A quote that is never closed costs the line where it opens. A row that ends early may be part
of a row that a line end has cut, so it is read only if the file encloses line ends.
"""

import csv
import io
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from variorum.base.errors import VariorumError
from variorum.corpus.decoding import STRAY, opened

HEADER = 1 << 16
"""Characters that hold a header, quoted line ends and all."""

_DELIMITERS = ",;\t|"
_LARGE_ROW = 1 << 24  # characters; then the file is searched for the quote that closes
# Lone surrogates, which no file decodes to, stand for line ends inside a row while it is parsed.
_STAND_INS = {"\r": "\ud800", "\n": "\ud801"}
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class Dialect:
    """Say how a table is written.

    end: the character that ends rows, alone or behind another.
    """

    delimiter: str
    quote: str
    end: str

    def options(self) -> dict[str, Any]:
        """Return the parser's options; no quote differs from an empty one there."""
        quoting = {"quotechar": self.quote} if self.quote else {"quoting": csv.QUOTE_NONE}
        return {"delimiter": self.delimiter, **quoting}


@dataclass(frozen=True)
class Row:
    """Hold one row: its columns by name, or what is wrong with it.

    `line` is where it begins, `raw` its text in the file, `lacking` how many columns of the header
    it ends before; the requested ones are all there.
    """

    line: int
    raw: str
    values: dict[str, str]
    fault: str = ""
    lacking: int = 0

    def wrong(self) -> str:
        """Return why the row cannot be read, or ""."""
        stray = not self.raw.isascii() and STRAY.search(self.raw)
        return self.fault or ("bytes that are no UTF-8" if stray else "")


class _Lines:
    """Yield the lines of a table, and let the current row's lines be read again.

    reopen: Return the table from its beginning.
    """

    def __init__(self, stream: TextIO, dialect: Dialect, reopen: Callable[[], TextIO]) -> None:
        self.number = 0  # of the line that was given last
        self.row: list[str] = []
        self._stream, self._dialect, self._reopen = stream, dialect, reopen
        self._again = deque[str]()
        self._other = "\r" if dialect.end == "\n" else "\n"
        self._size, self._is_closed = 0, False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._size > _LARGE_ROW and not self._is_closed:
            self._is_closed = self._closes()
            if not self._is_closed:
                raise csv.Error("and nowhere behind it")
        line = self._again.popleft() if self._again else self._parsable(next(self._stream))
        self.row.append(line)
        self._size += len(line)
        self.number += 1
        return line

    def begin(self) -> None:
        """Begin a row."""
        self.row, self._size, self._is_closed = [], 0, False

    def go_back(self) -> None:
        """Return all lines of this row except the first to the stream."""
        first, *others = self.row
        self.row = [first]
        self._again.extendleft(reversed(others))
        self.number -= len(others)

    def raw(self) -> str:
        """Return the row's text in the file."""
        return _restored("".join(self.row))

    def _parsable(self, line: str) -> str:
        """Return a line without line ends inside, by the other character's stand-in."""
        body = line.rstrip("\r\n" if self._dialect.end == "\n" else "\r")
        if self._other not in body:
            return line
        return body.replace(self._other, _STAND_INS[self._other]) + line[len(body) :]

    def _closes(self) -> bool:
        """Return whether the row's open quote is closed further down."""
        with self._reopen() as stream:
            for line in islice(stream, self.number, None):
                for quotes in re.finditer(f"{re.escape(self._dialect.quote)}+", line):
                    if len(quotes[0]) % 2:  # two are one in the value
                        behind = line[quotes.end() : quotes.end() + 1]
                        return behind in ("", self._dialect.delimiter, "\r", "\n")
        return False


def number_of(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun, as `base.counts.counted` does for what enters no result."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def _restored(text: str) -> str:
    """Return a text with line ends in place of their stand-ins."""
    if text.isascii():
        return text
    for character, stand_in in _STAND_INS.items():
        text = text.replace(stand_in, character)
    return text


def _records(file: Path, encoding: str, dialect: Dialect) -> Iterator[tuple[_Lines, Any, int, str]]:
    """Yield each row's lines and cells, its first line's number, and what is wrong."""

    def reopen() -> TextIO:
        return opened(file, encoding, newline=dialect.end)

    csv.field_size_limit(sys.maxsize)
    with reopen() as stream:
        lines = _Lines(stream, dialect, reopen)
        reader = csv.reader(lines, strict=True, **dialect.options())
        while True:
            line = lines.number + 1
            lines.begin()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as problem:
                fault = str(problem)
                if lines.number > line:
                    fault = (
                        f"a quote opens that is not closed up to line {lines.number} ({problem})"
                    )
                    lines.go_back()
                yield lines, [], line, fault
                continue
            if cells:
                yield lines, cells, line, ""


def table_rows(
    file: Path, encoding: str, dialect: Dialect, columns: list[str], short_rows: str | None = None
) -> Iterator[Row]:
    """Yield the rows below the header; rows without any value are skipped.

    A row may have more columns without a value. One that ends before the header does, with all
    requested columns, is read or dropped as `short_rows` says; None: read if the file encloses line
    ends.

    Raises:
        VariorumError: for such a row if that is None and no line end is enclosed.
    """
    records = _records(file, encoding, dialect)
    _, header, line, fault = next(records, (None, [], 1, ""))
    if fault:
        raise VariorumError(f"{file}, line {line}: the header cannot be read ({fault}).")
    header = [_restored(name) for name in header]
    _check_header(header, file, dialect.delimiter, columns)
    places = {name: header.index(name) for name in columns}
    least, most = max(places.values(), default=0) + 1, len(header)
    for lines, cells, line, fault in records:
        raw = lines.raw()
        differs = f"{number_of(len(cells), 'column')} where the header has {most}"
        if not fault and least <= len(cells) < most and short_rows is None:
            if not _encloses_line_ends(file, encoding, dialect):
                raise VariorumError(
                    f"{file}, line {line}: {differs}. Either its last values are empty and left "
                    "out, or it is part of a row that a line end without quotes has cut; set "
                    "source.short_rows to read or to drop."
                )
            short_rows = "read"
        if not fault and (
            len(cells) < (most if short_rows == "drop" else least) or any(cells[most:])
        ):
            fault = differs
        values = {} if fault else {name: _restored(cells[n]) for name, n in places.items()}
        yield Row(line, raw, values, fault, 0 if fault else max(0, most - len(cells)))


def _encloses_line_ends(file: Path, encoding: str, dialect: Dialect) -> bool:
    """Return whether a whole row has an enclosed line end, and no row contradicts.

    A whole row has all columns. A writer that encloses line ends cuts no row; the header may be of
    another writer than the rows.
    """
    found, records = False, _records(file, encoding, dialect)
    _, header, *_ = next(records)
    for _, cells, _, fault in records:
        if fault or any(cells[len(header) :]):
            return False
        found = found or (len(cells) == len(header) and any(dialect.end in cell for cell in cells))
    return found


def _check_header(header: list[str], file: Path, delimiter: str, columns: list[str]) -> None:
    """Raise `VariorumError` unless the header has each of these columns once."""
    if not header:
        raise VariorumError(f"{file} is empty: it has no header; fill it, or leave it out.")
    if missing := [name for name in columns if name not in header]:
        is_json = header[0].lstrip().startswith(("{", "["))
        advice = "It looks like JSON lines: call it .jsonl" if is_json else "Correct the names"
        raise VariorumError(
            f"{file} has no column {' and no '.join(map(repr, missing))}; with "
            f"{NAMES.get(delimiter, delimiter)} between them it has {', '.join(header)}. "
            f"{advice}, or source.delimiter."
        )
    if twice := [name for name in columns if header.count(name) > 1]:
        raise VariorumError(
            f"{file} has more than one column {' and '.join(map(repr, twice))}, so it cannot be "
            "told which is meant; give each a name of its own."
        )


# How a table is written


def dialect_of(
    file: Path, encoding: str, columns: list[str], delimiter: str | None, quote: str | None
) -> Dialect:
    """Return how a table is written; what is None is found out.

    Among the delimiters with which the header has all `columns`, the most frequent one wins.

    Raises:
        VariorumError: if it cannot be told whether quotes enclose the values of a .tsv file.
    """
    with opened(file, encoding, newline="") as stream:
        sample = stream.read(HEADER)
    if quote is not None or file.suffix.lower() != ".tsv":
        return _with_quote('"' if quote is None else quote, sample, columns, delimiter)[0]
    quoted, fits_quoted = _with_quote('"', sample, columns, delimiter)
    plain, fits_plain = _with_quote("", sample, columns, delimiter)
    if fits_quoted != fits_plain:  # only one reading of the header has the columns
        return quoted if fits_quoted else plain
    return quoted if _encloses(file, encoding, quoted) else plain


def _with_quote(
    quote: str, sample: str, columns: list[str], delimiter: str | None
) -> tuple[Dialect, bool]:
    """Return the dialect with a quote, and whether its header has all the columns."""
    enclosed = f"{re.escape(quote)}[^{re.escape(quote)}]*{re.escape(quote)}"
    first_end = re.search("\r\n|\r|\n", re.sub(enclosed, "", sample) if quote else sample)
    end = "\r" if first_end and first_end[0] == "\r" else "\n"
    best, most = Dialect(delimiter or _DELIMITERS[0], quote, end), (False, 0)
    for each in delimiter or _DELIMITERS:
        dialect = Dialect(each, quote, end)

        def reopen(end: str = end) -> TextIO:
            return io.StringIO(sample, newline=end)

        lines = _Lines(reopen(), dialect, reopen)
        header = next(filter(None, csv.reader(lines, **dialect.options())), [])
        fits = (set(columns) <= set(map(_restored, header)), len(header))
        if fits > most:
            best, most = dialect, fits
    return best, most[0]


def _doubles(piece: str, cell: str) -> bool:
    """Return whether a value is enclosed and has a quote inside."""
    return piece.startswith('"') and '"' in cell


def _encloses(file: Path, encoding: str, dialect: Dialect) -> bool:
    """Return whether quotes enclose values, as spreadsheets write them, or are part of the text.

    A spreadsheet encloses what holds a tab, a line end or a quote, and doubles the quote. So these
    say yes: a doubled quote, or an enclosed tab or line end without which a line has another
    number of columns. A value that begins with a quote and breaks these rules says no. The header
    may be of another writer than the rows, so it decides only where they have no such value.

    Raises:
        VariorumError: if both occur, or neither where a value begins and ends with a quote.
    """
    in_header = enclosed = ordinary = doubtful = width = 0
    for lines, cells, line, fault in _records(file, encoding, dialect):
        is_header, width = not width, width or len(cells)
        if not any('"' in each for each in lines.row):
            continue
        pieces = [each.rstrip("\r\n").split(dialect.delimiter) for each in lines.row]
        if fault:
            ordinary = ordinary or line
        elif not any(cell.startswith('"') for piece in pieces for cell in piece):
            continue  # a quote inside a value is a quote in both readings
        elif len(cells) == width and (
            any(len(piece) != width for piece in pieces)
            or (len(pieces) == 1 and any(map(_doubles, pieces[0], cells)))
        ):
            if is_header:
                in_header = line
            else:
                enclosed = enclosed or line
        else:
            doubtful = doubtful or line
    if (in_header or enclosed) and ordinary:
        what = (
            f"line {in_header or enclosed} has quotes that enclose a value, as spreadsheets write "
            f"them, and line {ordinary} a quote that is part of the text"
        )
    elif doubtful and not (enclosed or ordinary):
        what = f"line {doubtful} has a value between quotes, which may be part of the text or not"
    else:
        return bool(in_header or enclosed)
    raise VariorumError(
        f"{file}: {what}; set source.quote to '\"' if quotes enclose values, or to '' if they are "
        "part of the text."
    )
