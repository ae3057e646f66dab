"""Count what each step of a corpus kept and dropped, with a few examples.

Steps are in their order; each takes in what the one before kept. Examples are the first few
dropped documents, so equal corpora have equal examples. Surrogates are spelled out in them, so
that a page and a log can hold them.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from variorum.corpus.documents import escaped

EXAMPLES = 3  # of each step
EXCERPT = 160  # characters


@dataclass(frozen=True)
class Example:
    """Hold a dropped document: its id, its beginning, and why, where reasons differ."""

    document: str
    excerpt: str
    reason: str = ""


@dataclass
class FunnelStep:
    """Count the documents and UTF-8 bytes that entered one step and were kept.

    `changed` counts the documents whose text the step altered, `dropped` the documents it left out.
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
        """Return the number of documents that the step left out."""
        return self.documents_in - self.documents_kept

    def keep(self, before: int, after: int, *, changed: bool = False) -> None:
        """Count one kept document: `before` bytes when it came in, `after` when it left."""
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
        """Return plain data for JSON."""
        return asdict(self) | {"dropped": self.dropped}


@dataclass
class Funnel:
    """Hold the steps in their order."""

    steps: list[FunnelStep] = field(default_factory=list)

    def losses(self) -> str:
        """Return how many documents were dropped by which steps, as a sentence."""
        drops = {step.name: step.dropped for step in self.steps if step.dropped}
        by = ", ".join(f"{name} {count:,}" for name, count in drops.items())
        total = self.steps[0].documents_in if self.steps else 0
        return (
            f"Of {total:,} documents {sum(drops.values()):,} were dropped{f' ({by})' * bool(by)}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"steps": [step.to_dict() for step in self.steps]}


def excerpt(text: str) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text[: 2 * EXCERPT].split())
    return line if len(line) <= EXCERPT and len(text) <= 2 * EXCERPT else f"{line[:EXCERPT]}…"


def size(text: str) -> int:
    """Return the bytes of a text in UTF-8; a surrogate, which has none, counts 3."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
