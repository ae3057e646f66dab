"""Read the marks of a finished page, as a browser would: its content and sources.

`report.traced` writes them. Anything that a reader sees or hears without a mark is listed as well:
a digit in the page's text or in an element's name, a drawing, a length.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

from variorum.report.traced import DRAWN as STYLED

SILENT = ("style", "script")
DRAWN = "svg"
SAID = ("alt", "aria-description", "aria-label", "placeholder", "title")
VOID = frozenset({"br", "col", "hr", "img", "input", "link", "meta"})


@dataclass(frozen=True)
class Mark:
    """Hold a marked element: its attributes, and all text in it, singly spaced.

    drawing: the source of the SVG in it, if there is one.
    """

    tag: str
    attributes: dict[str, str]
    text: str
    drawing: str


@dataclass
class _Open:
    """Hold an element that is being read."""

    tag: str
    attributes: dict[str, str]
    words: list[str] = field(default_factory=list)
    drawing: str = ""


class PageMarks(HTMLParser):
    """Read the marks of a page, and the content outside of any mark.

    Raises `ValueError` or `IndexError` for a page whose elements are not nested.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.marks: list[Mark] = []
        self.unmarked: list[str] = []
        self._open: list[_Open] = []
        self._page = page
        self._starts = [0]
        for line in page.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._drawn_from = 0
        self.feed(page)
        self.close()
        if self._open:
            raise ValueError(f"<{self._open[-1].tag}> is not closed")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        attributes = {name: value or "" for name, value in attrs}
        if tag == DRAWN:
            self._drawn_from = self._place()
            if all(mark.drawing for mark in self._marked()):
                self.unmarked.append("<svg>")
            for mark in self._marked():
                mark.attributes["label"] = attributes.get("aria-label", "")
        if not self._is_within(DRAWN):  # what is inside a drawing is compared with its file
            self._check(attributes)
        if tag not in VOID:
            self._open.append(_Open(tag, attributes))

    def _check(self, attributes: dict[str, str]) -> None:
        """Note what an element's own attributes say or show without a source."""
        said = [attributes[name] for name in SAID if _has_digit(attributes.get(name, ""))]
        self.unmarked += map(spaced, said)
        way = attributes.get("data-as") if "data-from" in attributes else None
        if "style" in attributes and way not in STYLED:
            self.unmarked.append(attributes["style"])

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        element = self._open.pop()
        if element.tag != tag:
            raise ValueError(f"line {self.getpos()[0]}: {element.tag} is closed by {tag}")
        if tag == DRAWN:
            end = self._place() + len("</svg>")
            for mark in self._marked():
                mark.drawing = self._page[self._drawn_from : end]
        if "data-from" in element.attributes:
            text = spaced(" ".join(element.words))
            self.marks.append(Mark(tag, element.attributes, text, element.drawing))

    def handle_data(self, data: str) -> None:
        """Take a piece of text."""
        if self._is_within(*SILENT, DRAWN):
            return
        covering = [mark for mark in self._marked() if "#" in mark.attributes["data-from"]]
        for mark in covering:
            mark.words.append(data)
        if not covering and _has_digit(data):
            self.unmarked.append(spaced(data))

    def _is_within(self, *tags: str) -> bool:
        return any(element.tag in tags for element in self._open)

    def _marked(self) -> Iterator[_Open]:
        return (element for element in self._open if "data-from" in element.attributes)

    def _place(self) -> int:
        line, column = self.getpos()
        return self._starts[line - 1] + column


def _has_digit(text: str) -> bool:
    return any(character.isnumeric() for character in text)


def spaced(text: str) -> str:
    """Return a text with one space between words."""
    return " ".join(text.split())
