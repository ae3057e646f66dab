"""Read tables on this machine: comma- or tab-separated (.csv, .tsv), or JSON lines (.jsonl).

Each row is a document: the text of one column, or a template that is filled from several. Rows are
read one at a time, so a file may be larger than memory. How a table is written is detected and
reported where the settings don't say it; an encoding is never guessed. Rows that cannot be read are
left out, counted and shown.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from variorum.base.errors import VariorumError
from variorum.config.types import Settings, Text, setting, unordered
from variorum.corpus import local_files
from variorum.corpus.decoding import encoding_of, refuse_other_formats
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus.funnel import FunnelStep, size
from variorum.corpus.json_lines import JSON_SUFFIXES, json_rows
from variorum.corpus.source import SOURCES, LocalSource
from variorum.corpus.table_rows import NAMES, Row, dialect_of, number_of, table_rows


class RowFilter(Settings):
    """Define a condition on one column; rows that fail it are left out."""

    column: Text = setting(..., "The column that is looked at.")
    equals: Text | None = setting(None, "It must be this.")
    any_of: Annotated[tuple[Text, ...], Field(min_length=1), unordered()] | None = setting(
        None, "It must be one of these."
    )
    matches: Text | None = setting(
        None, "This regular expression must be found in it; \\w, \\d, \\s and \\b mean ASCII."
    )

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        ways = {"equals": self.equals, "any_of": self.any_of, "matches": self.matches}
        given = [name for name, way in ways.items() if way is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "where",
                "where: give one of equals, any_of, matches for column '{column}', not {found}",
                {"column": self.column, "found": " and ".join(given) or "none"},
            )
        try:
            re.compile(self.matches or "", re.ASCII)
        except re.error as error:
            raise PydanticCustomError(
                "where",
                "where: matches '{found}' is no regular expression ({problem}); correct it",
                {"found": str(self.matches), "problem": str(error)},
            ) from None
        return self


class CsvSource(LocalSource):
    """Describe tables on this machine: comma- or tab-separated values, or JSON lines."""

    kind: Literal["csv"] = setting("csv", "The kind of source.", component=SOURCES)
    suffixes: Annotated[tuple[str, ...], unordered(".csv", ".tsv", ".jsonl")] = setting(
        (".csv", ".tsv", ".jsonl"), "In a folder, the endings of the files that are read."
    )
    text: Text = setting(
        ...,
        "The column that holds the text, or a template such as `{title}: {body}`.",
        min_length=1,
    )
    group: Text | None = setting(
        None, "The column whose rows must stand on one side of a split; null: each row for itself."
    )
    id: Text | None = setting(None, "The column that names a row; null: its file and number.")
    where: Annotated[tuple[RowFilter, ...], unordered()] = setting(
        (), "Conditions that a row must meet, all of them."
    )
    delimiter: Text | None = setting(
        None, "What stands between columns; null: found out.", min_length=1, max_length=1
    )
    quote: Text | None = setting(
        None,
        "What encloses values that hold a delimiter or a line end; '' for nothing; null: '\"', but "
        "found out in .tsv files.",
        max_length=1,
        omit_when=None,
    )
    short_rows: Literal["read", "drop"] | None = setting(
        None,
        "Rows that end before the header does, but have all columns that are read; null: read if "
        "the file encloses line ends, else asked for.",
        omit_when=None,
    )
    encoding: Text | None = setting(
        None, "The files' encoding; null: UTF-8, or what a byte-order mark says."
    )

    @model_validator(mode="after")
    def _template_and_encoding_exist(self) -> Self:
        try:
            parts = list(Formatter().parse(self.text))
            if any(name == "" or spec or how for _, name, spec, how in parts if name is not None):
                raise ValueError("only {column} may stand in braces")
        except ValueError as error:
            raise PydanticCustomError(
                "text",
                "text: '{found}' is no template ({problem}); write the names of columns in braces",
                {"found": self.text, "problem": str(error)},
            ) from None
        try:
            "".encode(self.encoding or "utf-8")
        except (LookupError, ValueError):  # base64 is a codec, but no encoding of text
            raise PydanticCustomError(
                "encoding",
                "encoding: Python knows none that is called '{found}'; give one such as cp1252",
                {"found": str(self.encoding)},
            ) from None
        return self


def fetch(settings: CsvSource, context: FetchContext) -> Iterator[Document]:
    """Yield a document per readable row that meets the conditions.

    Raises `VariorumError` when there is no such file or column, the checksum differs, a file
    cannot be decoded, or no row is left.
    """
    base, found = local_files.checked(
        settings.path, settings.suffixes, context.root, settings.sha256
    )
    return _Tables(settings, context).documents(base, found)


class _Tables:
    """Turn rows into documents, and count the rows that are left out."""

    def __init__(self, settings: CsvSource, context: FetchContext) -> None:
        self.settings, self.context = settings, context
        self.template = settings.text if "{" in settings.text else f"{{{settings.text}}}"
        self.columns = _columns(self.template, settings)
        self.tests = [_test(condition) for condition in settings.where]
        self.formats: Counter[str] = Counter()
        self.ids: set[bytes] = set()
        self.short = 0  # rows that end before the header does
        self.readable = FunnelStep("rows", "rows that cannot be read dropped")
        self.fitting = FunnelStep("where", "rows that do not meet the conditions dropped")

    def documents(self, base: Path, found: list[Path]) -> Iterator[Document]:
        """Yield the remaining rows of all files as documents."""
        for file in found:
            yield from self._of_file(file, file.relative_to(base).as_posix())
        facts = self.context.facts
        facts.steps.append(self.readable)
        if self.settings.where:
            facts.steps.append(self.fitting)
        facts.notes += [
            f"{number_of(count, 'file')} read as {name}."
            for name, count in sorted(self.formats.items())
        ]
        if self.short:
            short = number_of(self.short, "row ends", "rows end")
            facts.notes.append(f"{short} before the header does, behind all columns that are read.")
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
        """Yield sentences on what was left out."""
        for step in (self.readable, self.fitting):
            if step.dropped:
                shown = "; ".join(
                    " ".join(filter(None, (e.document, e.reason))) for e in step.examples
                )
                yield f"{step.dropped:,} {step.explanation}: {shown}" + (
                    ", …" if step.dropped > len(step.examples) else ""
                )

    def _of_file(self, file: Path, name: str) -> Iterator[Document]:
        encoding = self.settings.encoding
        if encoding is None:
            encoding = encoding_of(file)
        else:
            with file.open("rb") as stream:
                refuse_other_formats(stream.read(64), str(file))
        try:
            for number, row in enumerate(self._rows(file, encoding), start=1):
                document = self._document(row, name, number)
                if document is not None:
                    yield document
        except UnicodeError as problem:
            raise VariorumError(
                f"{file} cannot be read as {encoding} ({problem}); set source.encoding to what it "
                "is, or convert it to UTF-8."
            ) from None

    def _rows(self, file: Path, encoding: str) -> Iterator[Row]:
        if file.suffix.lower() in JSON_SUFFIXES:
            self.formats[f"{encoding}, JSON lines"] += 1
            return json_rows(file, encoding, self.columns)
        settings = self.settings
        dialect = dialect_of(file, encoding, self.columns, settings.delimiter, settings.quote)
        between = NAMES.get(dialect.delimiter, dialect.delimiter)
        quotes = ", quotes as text" if not dialect.quote else ""
        self.formats[f"{encoding}, {between} between columns{quotes}"] += 1
        return table_rows(file, encoding, dialect, self.columns, settings.short_rows)

    def _document(self, row: Row, name: str, number: int) -> Document | None:
        """Return the document of a row, or None if it is left out."""
        place = f"{name}, line {row.line}"
        if wrong := row.wrong():
            self.readable.drop(place, row.raw, wrong)
            return None
        self.short += row.lacking > 0
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
        """Return what is wrong with an id from the settings' column, which is remembered."""
        if not self.settings.id:
            return ""
        mark = sha256(named.encode("utf-8", "surrogatepass")).digest()[:16]
        if mark in self.ids:
            return f"its {self.settings.id} '{named}' stands in an earlier row"
        self.ids.add(mark)
        return "" if named else f"its {self.settings.id} is empty"


def _columns(template: str, settings: CsvSource) -> list[str]:
    """Return every column that the settings name, each once."""
    named = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    named += [name for name in (settings.group, settings.id) if name is not None]
    return list(dict.fromkeys([*named, *(condition.column for condition in settings.where)]))


def _filled(template: str, values: dict[str, str]) -> str:
    """Fill each {column} of the template; not by `str.format`, which interprets dots."""
    return "".join(
        before + (values[name] if name is not None else "")
        for before, name, _, _ in Formatter().parse(template)
    )


def _test(condition: RowFilter) -> Callable[[dict[str, str]], bool]:
    """Return a test of whether a row meets the condition."""
    column = condition.column
    if condition.matches is not None:
        pattern = re.compile(condition.matches, re.ASCII)
        return lambda values: pattern.search(values[column]) is not None
    wanted = condition.any_of or (condition.equals,)
    return lambda values: values[column] in wanted
