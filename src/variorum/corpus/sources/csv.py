r"""Tables on this machine: comma- or tab-separated values (.csv, .tsv), or JSON lines (.jsonl).

Each row is a document: the text of one column, or a template that is filled from several. Rows are
read one at a time, so a file may be larger than memory. How a file is encoded and what stands
between its columns is found out where the settings don't say it, and told. It is UTF-8 if all of it
is that but for stray bytes (of a UTF-16 file the byte-order mark tells), else what
charset-normalizer takes it for. The delimiter is the one with which the header has the columns that
the settings name. (`csv.Sniffer` looks for what is regular in the rows, which in prose is often a
comma or a space.) Rows that cannot be read are left out, counted and shown; a quote that is never
closed costs the line where it opens.
"""

import csv
import io
import json
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from string import Formatter
from typing import Any, TextIO

from variorum.config import CsvSource, RowFilter
from variorum.corpus.documents import Document
from variorum.corpus.encodings import STRAY, encoding_of, opened
from variorum.corpus.fetching import FetchContext
from variorum.corpus.funnel import Step, size
from variorum.corpus.sources import files
from variorum.errors import VariorumError

_HEADER = 1 << 16  # characters that hold a header, quoted line ends and all
_DELIMITERS = ",;\t|"
_LARGEST_FIELD = 1 << 24  # characters; a quote that is never closed stops there
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class _Row:
    """One row: its columns by name, or what is wrong with it.

    `line` is where it begins, `raw` what stands there.
    """

    line: int
    raw: str
    values: dict[str, str]
    fault: str = ""

    def wrong(self) -> str:
        """Why it cannot be read; nothing if it can."""
        stray = not self.raw.isascii() and STRAY.search(self.raw)
        return self.fault or ("bytes that are no UTF-8" if stray else "")


def fetch(settings: CsvSource, context: FetchContext) -> Iterator[Document]:
    """A document per row that can be read and meets the conditions, in the order of the files.

    Raises `VariorumError` when there is no such file or column, the checksum is another, a file
    cannot be decoded, or no row is left.
    """
    base, found = files.checked(settings, context.root)
    return _Tables(settings, context).documents(base, found)


class _Tables:
    """Turns rows to documents, and counts those that are left out."""

    def __init__(self, settings: CsvSource, context: FetchContext) -> None:
        self.settings, self.context = settings, context
        self.template = settings.text if "{" in settings.text else f"{{{settings.text}}}"
        self.columns = _columns(self.template, settings)
        self.tests = [_test(condition) for condition in settings.where]
        self.formats: Counter[str] = Counter()
        self.ids: set[bytes] = set()
        self.readable = Step("rows", "rows that cannot be read dropped")
        self.fitting = Step("where", "rows that do not meet the conditions dropped")

    def documents(self, base: Path, found: list[Path]) -> Iterator[Document]:
        """All rows of all files that are left."""
        for file in found:
            yield from self._of_file(file, file.relative_to(base).as_posix())
        facts = self.context.facts
        facts.steps.append(self.readable)
        if self.settings.where:
            facts.steps.append(self.fitting)
        facts.notes += [
            f"{count} {'file' if count == 1 else 'files'} read as {name}."
            for name, count in sorted(self.formats.items())
        ]
        for line in [*facts.notes, *self._said()]:
            self.context.report(line)
        last = facts.steps[-1]
        if not last.documents_kept:
            raise VariorumError(
                f"source.path: no row is left of the {self.readable.documents_in:,} in "
                f"{self.settings.path} ({'; '.join(self._said()) or 'there are none'}); change the "
                "source's settings or the files."
            )

    def _said(self) -> Iterator[str]:
        """What was left out, in sentences."""
        for step in (self.readable, self.fitting):
            if step.dropped:
                shown = "; ".join(
                    " ".join(filter(None, (e.document, e.reason))) for e in step.examples
                )
                yield f"{step.dropped:,} {step.explanation}: {shown}" + (
                    ", …" if step.dropped > len(step.examples) else ""
                )

    def _of_file(self, file: Path, name: str) -> Iterator[Document]:
        encoding, is_guess = self.settings.encoding, False
        if encoding is None:
            encoding, is_guess = encoding_of(file)
        told = f"{encoding} (a guess: if letters are wrong, set source.encoding)"
        try:
            # Line ends inside quotes stay as they are: the parsers find the ends of rows.
            with opened(file, encoding) as stream:
                rows = self._rows(stream, file, told if is_guess else encoding)
                for number, row in enumerate(rows, start=1):
                    document = self._document(row, name, number)
                    if document is not None:
                        yield document
        except UnicodeError as problem:
            raise VariorumError(
                f"{file} cannot be read as {encoding} ({problem}); set source.encoding to what it "
                "is, or convert it to UTF-8."
            ) from None

    def _rows(self, stream: TextIO, file: Path, encoding: str) -> Iterator[_Row]:
        if file.suffix.lower() == ".jsonl":
            self.formats[f"{encoding}, JSON lines"] += 1
            return _json_rows(stream, self.columns)
        quote = self.settings.quote
        if quote is None:
            quote = "" if file.suffix.lower() == ".tsv" else '"'
        delimiter = self.settings.delimiter or _delimiter(stream, quote, self.columns)
        self.formats[f"{encoding}, {_NAMES.get(delimiter, delimiter)} between columns"] += 1
        return _table_rows(stream, file, delimiter, quote, self.columns)

    def _document(self, row: _Row, name: str, number: int) -> Document | None:
        """The document that a row is, or None if it is left out."""
        place = f"{name}, line {row.line}"
        if wrong := row.wrong():
            self.readable.drop(place, row.raw, wrong)
            return None
        values = row.values
        named = values[self.settings.id] if self.settings.id else f"{name}#{number}"
        text = _filled(self.template, values)
        n_bytes = size(text)
        if not all(test(values) for test in self.tests):
            self.readable.keep(n_bytes, n_bytes)
            self.fitting.drop(named or place, text)
            return None
        if fault := self._fault_of_id(named):
            self.readable.drop(place, text, fault)
            return None
        self.readable.keep(n_bytes, n_bytes)
        self.fitting.keep(n_bytes, n_bytes)
        group = values[self.settings.group] if self.settings.group else ""
        return Document(id=named, group=group or named, text=text, meta={})

    def _fault_of_id(self, named: str) -> str:
        """What is wrong with a name that the settings' column gives; it is remembered."""
        if not self.settings.id:
            return ""
        mark = sha256(named.encode("utf-8", "surrogatepass")).digest()[:16]
        if mark in self.ids:
            return f"its {self.settings.id} '{named}' stands in an earlier row"
        self.ids.add(mark)
        return "" if named else f"its {self.settings.id} is empty"


def _columns(template: str, settings: CsvSource) -> list[str]:
    """Every column that the settings name, each once."""
    named = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    named += [name for name in (settings.group, settings.id) if name is not None]
    return list(dict.fromkeys([*named, *(condition.column for condition in settings.where)]))


def _filled(template: str, values: dict[str, str]) -> str:
    """The template with each {column} replaced; not `str.format`, to which a dot means more."""
    return "".join(
        before + (values[name] if name is not None else "")
        for before, name, _, _ in Formatter().parse(template)
    )


def _test(condition: RowFilter) -> Callable[[dict[str, str]], bool]:
    """Whether a row meets the condition."""
    column = condition.column
    if condition.matches is not None:
        pattern = re.compile(condition.matches, re.ASCII)
        return lambda values: pattern.search(values[column]) is not None
    wanted = condition.any_of or (condition.equals,)
    return lambda values: values[column] in wanted


# --- rows -----------------------------------------------------------------------------------


class _Lines:
    """The lines of a table, of which those of the row at hand can be had again."""

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
        """Give all lines of this row but the first once more."""
        first, *others = self.row
        self.row = [first]
        self._again.extendleft(reversed(others))
        self.number -= len(others)


def _table_rows(
    stream: TextIO, file: Path, delimiter: str, quote: str, columns: list[str]
) -> Iterator[_Row]:
    """The rows below the header. A row without any value is no row."""
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
            yield _Row(line, "".join(lines.row), {}, fault)
            continue
        raw = "".join(lines.row)
        if len(cells) == len(header):
            yield _Row(line, raw, dict(zip(header, cells, strict=True)))
        elif cells:
            fault = f"{len(cells)} columns where the header has {len(header)}"
            yield _Row(line, raw, {}, fault)


def _quoting(quote: str) -> dict[str, Any]:
    """How the parser is told of the quote; to it, none is not the same as an empty one."""
    return {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}


def _check_header(header: list[str], file: Path, delimiter: str, columns: list[str]) -> None:
    """Raise `VariorumError` unless it has each of these columns once."""
    if missing := [name for name in columns if name not in header]:
        raise VariorumError(
            f"{file} has no column {' and no '.join(map(repr, missing))}; with "
            f"{_NAMES.get(delimiter, delimiter)} between them it has {', '.join(header)}. Correct "
            "the names, or source.delimiter."
        )
    if twice := [name for name in columns if header.count(name) > 1]:
        raise VariorumError(
            f"{file} has more than one column {' and '.join(map(repr, twice))}, so it cannot be "
            "told which is meant; give each a name of its own."
        )


def _json_rows(stream: TextIO, columns: list[str]) -> Iterator[_Row]:
    """A row per line that is not blank. Numbers are taken as they are spelled, null as nothing."""
    for line, content in enumerate(stream, start=1):
        if not content.strip():
            continue
        try:
            data = json.loads(content, parse_int=str, parse_float=str, parse_constant=str)
        except (ValueError, RecursionError) as problem:
            yield _Row(line, content, {}, f"no JSON ({str(problem).split(':')[0]})")
            continue
        if fault := _fault_of_object(data, columns):
            yield _Row(line, content, {}, fault)
        else:
            yield _Row(line, content, {name: _text(data[name]) for name in columns})


def _fault_of_object(data: Any, columns: list[str]) -> str:
    """Why a JSON value is no row with these columns."""
    if not isinstance(data, dict):
        return "no JSON object"
    if missing := [name for name in columns if name not in data]:
        return f"no {', no '.join(missing)}"
    nested = [name for name in columns if isinstance(data[name], (dict, list))]
    return f"{', '.join(nested)} is no single value" if nested else ""


def _text(value: object) -> str:
    """A single JSON value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


# --- what a file does not say ---------------------------------------------------------------


def _delimiter(stream: TextIO, quote: str, columns: list[str]) -> str:
    """What stands between the columns, by the header; the stream is rewound.

    Among the delimiters with which the header has all `columns`, the one that parts it most often.
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
