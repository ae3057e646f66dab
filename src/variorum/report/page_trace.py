"""Trace everything that a report's page says to its source files.

Every number, and every text with a digit, is marked with its files (`report.traced`). Each mark is
computed again from them: the file must match its manifest, the manifest the report's note of it,
and the value, combined and rounded as the mark says, the text or the length of a bar. A figure is
compared with its file. Unmarked text must hold no digit, and `numbers.csv` must hold the page's
numbers.
"""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from variorum.base.files import sha256_of
from variorum.identity.spec import Ref
from variorum.report import traced
from variorum.report.page_marks import Mark, PageMarks, spaced
from variorum.report.rendering import inline_svg
from variorum.report.traced import OPERATIONS, SAME, TEXT, as_text, exactly, looked_up
from variorum.store.restoring import BUNDLE
from variorum.store.result import MANIFEST, Result, StoreError, manifest_digest
from variorum.store.store import Store

PAGE = "report.html"
NUMBERS = "numbers.csv"


@dataclass(frozen=True)
class Fault:
    """Describe a text of the page that does not match its source."""

    source: str
    text: str
    problem: str

    def __str__(self) -> str:
        return f"{self.text!r} (from {self.source or 'nowhere'}): {self.problem}"


@dataclass(frozen=True)
class Traces:
    """Hold how many marks and numbers were checked, and the faults.

    absent: marks whose results are not here, so that they cannot be checked.
    """

    followed: int
    numbers: int
    faults: tuple[Fault, ...]
    absent: int = 0


class AbsentError(StoreError):
    """Report that a result of the page is not here."""


def check(store: Store, ref: Ref, page: str | None = None) -> Traces:
    """Check every mark of a report's page, or of another `page` in its place.

    Raises `StoreError` if the report is missing or damaged.
    """
    report = store.open(ref)
    listed = None
    if page is None:
        page = report.file(PAGE).read_text(encoding="utf-8")
        if lists_numbers(report):
            listed = report.file(NUMBERS).read_text(encoding="utf-8")
    try:
        reader = PageMarks(page)
    except (ValueError, IndexError) as error:
        return Traces(0, 0, (Fault("", PAGE, f"not a page as reports have them: {error}"),))
    sources = _Sources(store, report)
    faults = [Fault("", text, "has no source") for text in reader.unmarked]
    followed = []
    for mark in reader.marks:
        try:
            problem = _problem(mark, sources)
        except AbsentError:
            continue
        followed.append(mark)
        if problem:
            faults.append(Fault(mark.attributes["data-from"], mark.text, problem))
    if listed is not None and listed != traced.numbers_csv(page):
        faults.append(Fault("", NUMBERS, "not the numbers of the page"))
    numbers = sum("value" in mark.attributes for mark in followed)
    absent = len(reader.marks) - len(followed)
    return Traces(len(followed), numbers, tuple(faults), absent)


def lists_numbers(report: Result) -> bool:
    """Check whether a report's numbers are marked and listed beside the page."""
    return NUMBERS in report.manifest["files"]


def _problem(mark: Mark, sources: "_Sources") -> str | None:
    origin = mark.attributes["data-from"]
    try:
        if mark.drawing:
            name, label = Path(origin).stem, mark.attributes["label"]
            drawn = inline_svg(sources.text(origin), name, label)
            return None if drawn.rstrip() == mark.drawing else "the file holds another figure"
        values = [sources.value(address) for address in origin.split(" ")]
        value = OPERATIONS[mark.attributes.get("data-how", SAME)](*values)
        way = mark.attributes.get("data-as", TEXT)
        expected = spaced(as_text(value, way))
    except AbsentError:
        raise
    except (StoreError, OSError, LookupError, ValueError, TypeError) as error:
        return str(error)
    if way in traced.DRAWN:
        style = mark.attributes.get("style")
        return None if (style, mark.text) == (expected, "") else f"{style} should be {expected}"
    if expected != mark.text:
        return f"the source says {expected!r}"
    exact = mark.attributes.get("value")
    if exact is None and mark.tag == "data":
        return "it has no value"
    if exact is not None and exact != exactly(value):
        return f"its value is {exact}, but the source says {exactly(value)}"
    return None


@dataclass(frozen=True)
class _Sources:
    """Read the files behind a page: the report's own and its inputs'."""

    store: Store
    report: Result
    opened: dict[str, Path] = field(default_factory=dict)
    parsed: dict[str, Any] = field(default_factory=dict)

    def text(self, place: str) -> str:
        """Return the content of `stage/key/file`."""
        if place not in self.opened:
            stage, key, name = place.split("/", 2)
            self.opened[place] = self._file(Ref(stage, key), name)
        return self.opened[place].read_text(encoding="utf-8")

    def value(self, address: str) -> Any:
        """Return the value at an address."""
        place, _, pointer = address.partition("#")
        if place not in self.parsed:
            self.parsed[place] = json.loads(self.text(place))
        return looked_up(self.parsed[place], pointer)

    @cached_property
    def _noted(self) -> dict[str, str]:
        """Return the digests of the manifests of the report's inputs."""
        return {
            entry["result"]: entry["manifest_sha256"]
            for entry in self.report.manifest["inputs"].values()
        }

    def _file(self, ref: Ref, name: str) -> Path:
        """Return a file that matches its manifest, of the report or its inputs."""
        result = self.report if ref == self.report.ref else self._input(ref)
        if name == MANIFEST:
            return result.folder / name
        path = result.file(name)
        if sha256_of(path) != result.manifest["files"][name]["sha256"]:
            raise StoreError(f"{ref}/{name} is not what its manifest says")
        return path

    def _input(self, ref: Ref) -> Result:
        if str(ref) not in self._noted:
            raise StoreError(f"{ref} is none of the results that {self.report.ref} was made from")
        carried = self.report.folder / BUNDLE / str(ref)
        if (carried / MANIFEST).is_file():
            manifest = json.loads((carried / MANIFEST).read_text(encoding="utf-8"))
            result = Result(ref, carried, manifest)
        elif not (self.store.folder(ref) / MANIFEST).is_file():
            raise AbsentError(f"{ref} is not here")
        else:
            result = self.store.peek(ref)
        if manifest_digest(result.manifest) != self._noted[str(ref)]:
            raise StoreError(f"{ref} is not the one that {self.report.ref} was made from")
        return result
