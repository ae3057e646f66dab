"""The funnel: what each step of a corpus kept and dropped, and a few examples of what went.

Steps stand in their order; what one keeps is what the next takes in. Examples are the first few in
the order of the documents, so that the same corpus has the same ones. Surrogates are spelled out in
them, so that a page and a log can hold them.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from variorum.corpus.documents import escaped

EXAMPLES = 3  # of each step
EXCERPT = 160  # characters


@dataclass(frozen=True)
class Example:
    """A document that a step dropped: its id, how it begins, and why, where reasons differ."""

    document: str
    excerpt: str
    reason: str = ""


@dataclass
class FunnelStep:
    """What one step did: documents and UTF-8 bytes that came in and were kept.

    `changed` counts the documents whose text the step altered, `dropped` those it left out.
    """

    name: str
    explanation: str
    documents_in: int = 0
    documents_kept: int = 0
    bytes_in: int = 0
    bytes_kept: int = 0
    changed: int = 0
    examples: list[Example] = field(default_factory=list)

    @property
    def dropped(self) -> int:
        """Documents that the step left out."""
        return self.documents_in - self.documents_kept

    def keep(self, before: int, after: int, *, changed: bool = False) -> None:
        """Count one document of `before` bytes that left with `after`."""
        self.documents_in += 1
        self.documents_kept += 1
        self.bytes_in += before
        self.bytes_kept += after
        self.changed += changed

    def drop(self, document: str, text: str, reason: str = "") -> None:
        """Count one document that was left out."""
        self.documents_in += 1
        self.bytes_in += size(text)
        if len(self.examples) < EXAMPLES:
            shown = (escaped(each) for each in (document, excerpt(text), reason))
            self.examples.append(Example(*shown))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"dropped": self.dropped}


@dataclass
class Funnel:
    """The steps in their order."""

    steps: list[FunnelStep] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"steps": [step.to_dict() for step in self.steps]}


def excerpt(text: str) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text[: 2 * EXCERPT].split())
    return line if len(line) <= EXCERPT and len(text) <= 2 * EXCERPT else f"{line[:EXCERPT]}…"


def size(text: str) -> int:
    """Bytes of a text in UTF-8 (surrogates, which have none, count 3)."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
