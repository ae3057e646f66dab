"""Clean documents: from texts as they were found to texts that a model reads.

Each step is a pure function of one text; together they are repeated until nothing changes, so that
cleaning clean text changes nothing. Then documents are dropped that are short, fail a rule of
quality, or repeat an earlier document, exactly or nearly. Documents are streamed; what happened to
them is counted in a `Funnel`.

Nothing depends on the Unicode tables of the Python that runs: characters that Unicode 14.0 does
not assign are left alone, and the normal form of assigned characters never changes (Unicode
Standard Annex 15, section 3).
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from typing import Any

from ftfy import fix_encoding
from ftfy.badness import is_bad

from variorum.base.errors import VariorumError
from variorum.config.corpus_settings import NormalizeSettings
from variorum.corpus import quality
from variorum.corpus.documents import Document
from variorum.corpus.funnel import Funnel, FunnelStep, size
from variorum.corpus.near_duplicates import NearDuplicates
from variorum.corpus.unicode14 import UNASSIGNED

_UNASSIGNED = re.compile(f"([{UNASSIGNED}]+)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
# C0, DEL and C1 but for tab and line feed, and the byte-order mark, which is no text either.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
_SPACES = re.compile("[ \t]+")
_BLANK_LINES = re.compile("\n{3,}")
_WHITE = " \t\n"
_BEYOND_ASCII = re.compile("[^\x00-\x7f]+")
_AROUND = 3  # characters


@dataclass(frozen=True)
class _TextStep:
    name: str
    explanation: str
    apply: Callable[[str], str]


@dataclass(frozen=True)
class _Drop:
    """Describe a step that drops documents: `fault` gives the reason, or None to keep."""

    step: FunnelStep
    fault: Callable[[Document], str | None]


class Normalizer:
    """Clean one corpus by `settings`, and count in `funnel` what happens to it."""

    def __init__(self, settings: NormalizeSettings) -> None:
        self._text_steps = _text_steps(settings)
        self._drops = _drops(settings)
        steps = [FunnelStep(step.name, step.explanation) for step in self._text_steps]
        self.funnel = Funnel([*steps, *(drop.step for drop in self._drops)])

    def run(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yield the cleaned documents, one at a time.

        32 bytes of each are remembered to find duplicates. Raises `VariorumError` at the end if no
        document is left.
        """
        empty = True
        for document in documents:
            cleaned = replace(document, text=self._cleaned(document.text))
            if self._keeps(cleaned):
                empty = False
                yield cleaned
        if empty:
            drops = ", ".join(
                f"{s.name} dropped {s.dropped}" for s in self.funnel.steps if s.dropped
            )
            raise VariorumError(
                f"normalize: no document is left of {self.funnel.steps[0].documents_in}"
                f"{f' ({drops})' if drops else ''}; change normalize or the source."
            )

    def clean(self, text: str) -> str:
        """Return `text` after all text steps; cleaning it again changes nothing."""
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
                    grown[index] += size(result) - size(text)
                    changed[index] = True
                    stable = False
                    text = result
        return text, grown, changed

    def _cleaned(self, text: str) -> str:
        before = size(text)
        text, grown, changed = self._passes(text)
        for step, growth, altered in zip(self.funnel.steps, grown, changed, strict=False):
            step.keep(before, before + growth, changed=altered)
            before += growth
        return text

    def _keeps(self, document: Document) -> bool:
        n_bytes = size(document.text)
        for drop in self._drops:
            fault = drop.fault(document)
            if fault is not None:
                drop.step.drop(document.id, document.text, fault)
                return False
            drop.step.keep(n_bytes, n_bytes)
        return True


def _drops(settings: NormalizeSettings) -> list[_Drop]:
    least = max(1, settings.min_characters)
    drops = [
        _Drop(
            FunnelStep(
                "min_characters", f"documents under {settings.min_characters} characters dropped"
            ),
            lambda document: "" if len(document.text) < least else None,
        )
    ]
    for rule in quality.rules(settings):
        drops.append(_Drop(FunnelStep(rule.name, rule.explanation), _by_rule(rule)))
    if settings.drop_duplicates:
        step = FunnelStep("duplicates", "documents whose text was seen before dropped")
        drops.append(_Drop(step, _repeated()))
    if settings.near_duplicates is not None:
        step = FunnelStep("near_duplicates", "documents that nearly repeat an earlier one dropped")
        drops.append(_Drop(step, _nearly_repeated(settings.near_duplicates)))
    return drops


def _by_rule(rule: quality.Rule) -> Callable[[Document], str | None]:
    return lambda document: rule.fault(document.text) or None


def _repeated() -> Callable[[Document], str | None]:
    seen: set[bytes] = set()

    def fault(document: Document) -> str | None:
        mark = sha256(document.text.encode()).digest()
        if mark in seen:
            return ""
        seen.add(mark)
        return None

    return fault


def _nearly_repeated(threshold: float) -> Callable[[Document], str | None]:
    seen = NearDuplicates(threshold)

    def fault(document: Document) -> str | None:
        found = seen.find(document.id, document.text)
        return f"{found[1]:.2f} like {found[0]}" if found else None

    return fault


def _text_steps(settings: NormalizeSettings) -> list[_TextStep]:
    steps = [
        _TextStep("surrogates", "halves of a UTF-16 pair joined, or replaced", _fix_surrogates)
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
    steps.append(_TextStep("line_ends", "lines end in \\n", _fix_line_ends))
    steps.append(_TextStep("control", "control characters removed", _remove_control))
    if settings.collapse_spaces:
        steps.append(_TextStep("spaces", "runs of white space shortened", _collapse_spaces))
    steps.append(_TextStep("strip", "blank lines around the text removed", _strip))
    return steps


def _fix_surrogates(text: str) -> str:
    """Join surrogate pairs to the character they mean; a lone one becomes U+FFFD."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _repair_encoding(text: str) -> str:
    """Undo wrong decoding line by line, as texts often combine several sources."""
    if text.isascii():
        return text
    return "\n".join(
        fix_encoding(line) if not line.isascii() and _may_be_mojibake(line) else line
        for line in text.split("\n")
    )


def _may_be_mojibake(line: str) -> bool:
    """Return False only for a line that ftfy leaves as it is.

    What ftfy takes for mojibake are characters beyond ASCII, with fewer than `_AROUND` others on
    either side. In most scripts such characters are few, and their surroundings repeat.
    """
    found = [place.span() for place in _BEYOND_ASCII.finditer(line)]
    if 2 * _AROUND * len(found) > len(line):
        return True
    return any(_is_mojibake(line[max(0, start - _AROUND) : end + _AROUND]) for start, end in found)


_is_mojibake = lru_cache(maxsize=1 << 16)(is_bad)


def _to_nfc(text: str) -> str:
    return _to_form("NFC", text)


def _to_nfkc(text: str) -> str:
    return _to_form("NFKC", text)


_UNICODE_FORMS = {"NFC": _to_nfc, "NFKC": _to_nfkc}


def _to_form(form: Any, text: str) -> str:
    if text.isascii():
        return text
    # Few texts have an unassigned character, and checking each one is slow.
    if not _UNASSIGNED.search("".join(set(text))):
        return unicodedata.normalize(form, text)
    # Odd places hold the unassigned runs.
    runs = _UNASSIGNED.split(text)
    runs[::2] = [unicodedata.normalize(form, run) for run in runs[::2]]
    return "".join(runs)


def _fix_line_ends(text: str) -> str:
    return _LINE_END.sub("\n", text)


def _remove_control(text: str) -> str:
    return _CONTROL.sub("", text)


def _collapse_spaces(text: str) -> str:
    """Shorten runs to one space and one blank line; strip spaces at line ends.

    Spaces before the text are removed too.
    """
    text = _SPACES.sub(" ", text).replace(" \n", "\n")
    return _BLANK_LINES.sub("\n\n", text).lstrip(" ").rstrip(" ")


def _strip(text: str) -> str:
    """Remove blank lines before and after the text, and white space after its end.

    The first line keeps its indentation. A text that ended its last line still does: so a clean
    file stays as it is, and its parts fall where other recipes cut them.
    """
    body = text.rstrip(_WHITE)
    end = "\n" if body and "\n" in text[len(body) :] else ""
    blank = body[: len(body) - len(body.lstrip(_WHITE))]
    return body[blank.rfind("\n") + 1 :] + end
