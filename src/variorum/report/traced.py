"""Trace values to their addresses in results, so that a reader can look there.

A `Traced` is a value with the addresses that it was read from, and the name of the operation that
combined them, unless it is simply the value at its address. An address is

    evaluate/875374eac0e6/metrics.json#/interval/low

a result, one of its files, and a JSON pointer into it (RFC 6901, written as part of an address as
in its section 6). A `#` at the end means the name of the member instead of its value. The page
writes a traced number as `<data value="3.2634…" data-from="…">3.263</data>`, with `data-how` for
an operation and `data-as` for the way it is written; `variorum.report.page_trace` reads that
back and computes all of it again, by the same operations and ways.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import quote, unquote

from markupsafe import Markup, escape

from variorum.corpus.source_kinds import source_of
from variorum.identity.spec import Ref
from variorum.report import numbers
from variorum.report.adopted import Adoption
from variorum.report.naming import baseline_name, corpus_of, model_of
from variorum.store.result import MANIFEST, Result

SAME = "same"
NAME_OF = "#"


@dataclass(frozen=True)
class Traced:
    """Hold a value, its addresses, and how it was made: the name of an operation."""

    value: Any
    sources: tuple[str, ...]
    how: str = SAME

    def __getitem__(self, name: str | int) -> "Traced":
        """Return a member of an object or list."""
        step = quote(str(name).replace("~", "~0").replace("/", "~1"))
        return Traced(self.value[name], (f"{self._address}/{step}",))

    def __iter__(self) -> Iterator["Traced"]:
        """Return the items of a list."""
        return (self[index] for index in range(len(self.value)))

    def items(self) -> Iterator[tuple["Traced", "Traced"]]:
        """Return the members of an object: their names and values."""
        return ((self[name].name, self[name]) for name in self.value)

    @property
    def name(self) -> "Traced":
        """Return the name of this member."""
        return Traced(_unescaped(self._address.rsplit("/", 1)[1]), (self._address + NAME_OF,))

    @property
    def _address(self) -> str:
        if self.how != SAME:
            raise ValueError(f"{self.how} of {self.sources} has no members and is none")
        return self.sources[0]

    def __html__(self) -> str:
        """Return the value as text of the page."""
        return Markup("<span{}>{}</span>").format(attributes(self), self.value)


def of_file(result: Result, name: str) -> Traced:
    """Return all of a JSON file of a result."""
    return Traced(result.json(name), (f"{result.ref}/{name}#",))


def of_manifest(result: Result, name: str) -> Traced:
    """Return a member of a result's manifest, such as its `spec`."""
    return in_manifest(result.ref, {name: result.manifest[name]})[name]


def in_manifest(ref: Ref, manifest: Mapping[str, Any]) -> Traced:
    """Return the manifest of a result, even of one that is not yet published."""
    return Traced(manifest, (f"{ref}/{MANIFEST}#",))


def derived(how: str, *parts: Traced) -> Traced:
    """Return what the operation of that name computes from traced values."""
    sources = tuple(part._address for part in parts)
    return Traced(OPERATIONS[how](*(part.value for part in parts)), sources, how)


def looked_up(content: Any, pointer: str) -> Any:
    """Return the value at an address's pointer in a parsed file. Raises `LookupError`."""
    steps = [_unescaped(step) for step in pointer.removesuffix(NAME_OF).split("/")[1:]]
    for step in steps:
        content = content[int(step) if isinstance(content, list) else step]
    return steps[-1] if pointer.endswith(NAME_OF) else content


def _unescaped(step: str) -> str:
    return unquote(step).replace("~1", "/").replace("~0", "~")


# What may be made of values


def _passed(cases: Sequence[Mapping[str, Any]]) -> int:
    return sum(case["passed"] for case in cases)


def source_title(source: Mapping[str, Any]) -> str:
    """Return a source's name for a sentence, by its settings in a spec.

    Raises `VariorumError` if its kind is unknown.
    """
    return source_of(source).title


def _of_evaluations(command: str) -> str:
    """Return the command that makes the evaluations, from the report's command."""
    options, _, _ = command.rpartition(" -- ")
    return f"{options} -- evaluate"


def _of_graph(command: str) -> str:
    """Return the command that draws the graph of what makes the report."""
    options, _, target = command.rpartition(" -- ")
    return f"{options} graph=whole --rulegraph -- {target} | dot -Tsvg > graph.svg"


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    SAME: lambda value: value,
    "size": abs,
    "ratio": lambda first, second: first / second,
    "ratios": lambda low, high, whole: [low / whole, high / whole],
    "length": len,
    "passed": _passed,
    "title": source_title,
    "model": model_of,
    "corpus": corpus_of,
    "baseline": baseline_name,
    "adoption": lambda adopted: str(Adoption.of(adopted)),
    "evaluation-command": _of_evaluations,
    "graph-command": _of_graph,
    "verify-command": "variorum verify {}".format,
    "rerun-command": "variorum verify --rerun {}".format,
}
"""By the names in `data-how`. All are functions of the values at the addresses."""


# How they are written


def lines(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested settings as rows of a dotted name and a value."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from lines(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _as_in_yaml(value)


def _as_in_yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(repr(i) if isinstance(i, str) else _as_in_yaml(i) for i in value)
    return str(value)


def _width(share: float) -> str:
    return f"width: {100 * share:.2f}%"


def _ends(interval: Mapping[str, Any]) -> str:
    return f"{numbers.fixed(interval['low'])} to {numbers.fixed(interval['high'])}"


def _extent(shares: Sequence[float]) -> str:
    low, high = shares
    return f"left: {100 * low:.2f}%; {_width(high - low)}"


DRAWN: Mapping[str, Callable[..., str]] = {"width": _width, "extent": _extent}
"""Ways to draw a share, or the ends of an interval, as the `style` of an empty element."""

TEXT = "text"
ROWS = "rows"
LIST = "list"

WAYS: Mapping[str, Callable[..., str]] = {
    TEXT: str,
    ROWS: lambda settings: " ".join(f"{name} {value}" for name, value in lines(settings)),
    LIST: " ".join,
    "count": numbers.count,
    "fixed": numbers.fixed,
    "signed": numbers.signed,
    "percent": numbers.percent,
    "significant": numbers.significant,
    "size": numbers.size,
    "verdict": lambda passed: "passed" if passed else "failed",
    "ends": _ends,
    "met": lambda holds: "met" if holds else "not met",
    "sign": {"<=": "≤", ">=": "≥"}.__getitem__,
    **DRAWN,
}
"""By the names in `data-as`, which for some is followed by a number of digits."""


def as_text(value: Any, way: str) -> str:
    """Write a value in a way such as `count` or `fixed 3`."""
    name, *digits = way.split()
    return WAYS[name](value, *map(int, digits))


def exactly(value: Any) -> str:
    """Write a value as the `value` of a `<data>` holds it: every digit of it."""
    return json.dumps(value)


def attributes(traced: Traced, way: str = TEXT) -> Markup:
    """Return the attributes that mark an element with this value, after a space."""
    marks = {"data-from": " ".join(traced.sources)}
    marks |= {"data-how": traced.how} if traced.how != SAME else {}
    marks |= {"data-as": way} if way != TEXT else {}
    return Markup("").join(Markup(' {}="{}"').format(*mark) for mark in marks.items())


NUMBER = re.compile(r"<data value=\"([^\"]*)\"((?: data-[a-z]+=\"[^\"]*\")*)>([^<]*)</data>")
NUMBER_COLUMNS = ("from", "how", "value", "text")


def numbers_csv(page: str) -> str:
    """Return every number of a page, each once, as CSV.

    The columns are its addresses, the operation, the value itself, and its text.
    """
    rows: dict[tuple[str, ...], None] = {}
    for value, marks, text in NUMBER.findall(page):
        found = dict(re.findall(r"data-([a-z]+)=\"([^\"]*)\"", marks))
        how = found.get("how", SAME)
        rows[unescape(found["from"]), how, unescape(value), unescape(text)] = None
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerows([NUMBER_COLUMNS, *rows])
    return written.getvalue()


def number(traced: Traced, way: str) -> Markup:
    """Return a number of the page: rounded as text, exact and traced inside."""
    return Markup('<data value="{}"{}>{}</data>').format(
        exactly(traced.value), attributes(traced, way), escape(as_text(traced.value, way))
    )


def drawn(traced: Traced, tag: str, way: str) -> Markup:
    """Return an empty element whose style is a value, such as a bar."""
    return Markup('<{tag} style="{style}"{marks}></{tag}>').format(
        tag=tag, style=as_text(traced.value, way), marks=attributes(traced, way)
    )
