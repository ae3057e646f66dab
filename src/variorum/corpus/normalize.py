"""Cleaning: from documents as they were found to documents as a model reads them.

Each step is a pure function of one text; together they are repeated until nothing changes, so that
cleaning clean text changes nothing. Then short and repeated documents are dropped. Documents are
streamed; what happened to them is counted in a `Funnel`.

Nothing depends on the Unicode tables of the Python that runs: characters that Unicode 14.0 does
not assign are left alone, and the normal form of those it assigns never changes (Unicode Standard
Annex 15, section 3).
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Any

from ftfy import fix_encoding

from variorum.config import NormalizeSettings
from variorum.corpus.documents import Document
from variorum.errors import VariorumError
from variorum.unicode14 import UNASSIGNED

_UNASSIGNED = re.compile(f"([{UNASSIGNED}]+)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
# C0, DEL and C1 but for tab and line feed, and the byte-order mark, which is no text either.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
_SPACES = re.compile("[ \t]+")
_BLANK_LINES = re.compile("\n{3,}")
_WHITE = " \t\n"


@dataclass
class Step:
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

    @property
    def dropped(self) -> int:
        """Documents that the step left out."""
        return self.documents_in - self.documents_kept

    def count(self, before: int, after: int | None, *, changed: bool = False) -> None:
        """Count one document of `before` bytes that left with `after`, or was dropped (None)."""
        self.documents_in += 1
        self.bytes_in += before
        if after is not None:
            self.documents_kept += 1
            self.bytes_kept += after
            self.changed += changed


@dataclass
class Funnel:
    """The steps in their order; what one keeps is what the next takes in."""

    steps: list[Step] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"steps": [asdict(step) | {"dropped": step.dropped} for step in self.steps]}


@dataclass(frozen=True)
class _TextStep:
    name: str
    explanation: str
    apply: Callable[[str], str]


class Normalizer:
    """Cleans one corpus by `settings`, and counts in `funnel` what happens to it."""

    def __init__(self, settings: NormalizeSettings) -> None:
        self.settings = settings
        self._text_steps = _text_steps(settings)
        self._short = Step(
            "min_characters", f"documents under {settings.min_characters} characters dropped"
        )
        self._duplicates = Step("duplicates", "documents whose text was seen before dropped")
        self.funnel = Funnel([Step(step.name, step.explanation) for step in self._text_steps])
        self.funnel.steps.append(self._short)
        if settings.drop_duplicates:
            self.funnel.steps.append(self._duplicates)

    def run(self, documents: Iterable[Document]) -> Iterator[Document]:
        """The cleaned documents, one at a time.

        32 bytes of each are remembered to find duplicates. Raises `VariorumError` at the end if no
        document is left.
        """
        seen: set[bytes] = set()
        empty = True
        for document in documents:
            text = self._cleaned(document.text)
            if self._keeps(text, seen):
                empty = False
                yield replace(document, text=text)
        if empty:
            drops = ", ".join(
                f"{s.name} dropped {s.dropped}" for s in self.funnel.steps if s.dropped
            )
            raise VariorumError(
                f"normalize: no document is left of {self.funnel.steps[0].documents_in}"
                f"{f' ({drops})' if drops else ''}; change normalize or the source."
            )

    def clean(self, text: str) -> str:
        """`text` after all steps that change texts; cleaning it again changes nothing."""
        return self._passes(text)[0]

    def _passes(self, text: str) -> tuple[str, list[int], list[bool]]:
        """Repeat the text steps until they change nothing.

        One step can make work for one before it: a removed control character may bring the two
        halves of a letter together. Returns the text and, per step, by how many bytes it grew the
        text and whether it altered it.
        """
        grown = [0] * len(self._text_steps)
        changed = [False] * len(self._text_steps)
        stable = False
        while not stable:
            stable = True
            for index, step in enumerate(self._text_steps):
                result = step.apply(text)
                if result != text:
                    grown[index] += _size(result) - _size(text)
                    changed[index] = True
                    stable = False
                    text = result
        return text, grown, changed

    def _cleaned(self, text: str) -> str:
        size = _size(text)
        text, grown, changed = self._passes(text)
        for step, growth, altered in zip(self.funnel.steps, grown, changed, strict=False):
            step.count(size, size + growth, changed=altered)
            size += growth
        return text

    def _keeps(self, text: str, seen: set[bytes]) -> bool:
        size = _size(text)
        short = len(text) < max(1, self.settings.min_characters)
        self._short.count(size, None if short else size)
        if short or not self.settings.drop_duplicates:
            return not short
        mark = sha256(text.encode()).digest()
        repeated = mark in seen
        self._duplicates.count(size, None if repeated else size)
        seen.add(mark)
        return not repeated


def _text_steps(settings: NormalizeSettings) -> list[_TextStep]:
    steps = [
        _TextStep("surrogates", "halves of a UTF-16 pair joined, or replaced", _mend_surrogates)
    ]
    if settings.repair_encoding:
        steps.append(_TextStep("encoding", "mojibake repaired", _repair_encoding))
    if settings.unicode_form != "none":
        steps.append(
            _TextStep(
                "unicode_form",
                f"{settings.unicode_form} of Unicode 14.0",
                _UNICODE_FORMS[settings.unicode_form],
            )
        )
    steps.append(_TextStep("line_ends", "lines end in \\n", _mend_line_ends))
    steps.append(_TextStep("control", "control characters removed", _remove_control))
    if settings.collapse_spaces:
        steps.append(_TextStep("spaces", "runs of white space shortened", _collapse_spaces))
    steps.append(_TextStep("strip", "blank lines around the text removed", _strip))
    return steps


def _size(text: str) -> int:
    """Bytes of `text` in UTF-8 (surrogates, which have none, count 3)."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _mend_surrogates(text: str) -> str:
    """Join surrogate pairs to the character they mean; a lone one becomes U+FFFD."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _repair_encoding(text: str) -> str:
    """Undo wrong decoding line by line: texts are often put together of several sources."""
    if text.isascii():
        return text
    return "\n".join(line if line.isascii() else fix_encoding(line) for line in text.split("\n"))


def _to_nfc(text: str) -> str:
    return _to_form("NFC", text)


def _to_nfkc(text: str) -> str:
    return _to_form("NFKC", text)


_UNICODE_FORMS = {"NFC": _to_nfc, "NFKC": _to_nfkc}


def _to_form(form: Any, text: str) -> str:
    if text.isascii():
        return text
    # Few texts have an unassigned character, and looking at each one is slow.
    if not _UNASSIGNED.search("".join(set(text))):
        return unicodedata.normalize(form, text)
    # Odd places hold the unassigned runs.
    runs = _UNASSIGNED.split(text)
    runs[::2] = [unicodedata.normalize(form, run) for run in runs[::2]]
    return "".join(runs)


def _mend_line_ends(text: str) -> str:
    return _LINE_END.sub("\n", text)


def _remove_control(text: str) -> str:
    return _CONTROL.sub("", text)


def _collapse_spaces(text: str) -> str:
    """One space for a run, none at line ends and before the text, at most one blank line."""
    text = _SPACES.sub(" ", text).replace(" \n", "\n")
    return _BLANK_LINES.sub("\n\n", text).lstrip(" ").rstrip(" ")


def _strip(text: str) -> str:
    """Remove blank lines before and after the text, and white space after its end.

    The first line keeps its indentation. A text that ended its last line still does: so a clean
    file is left as it is, and its parts fall where other recipes cut them.
    """
    body = text.rstrip(_WHITE)
    end = "\n" if body and "\n" in text[len(body) :] else ""
    blank = body[: len(body) - len(body.lstrip(_WHITE))]
    return body[blank.rfind("\n") + 1 :] + end
