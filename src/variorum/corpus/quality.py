"""Apply quality filters: rules of thumb that separate running text from menus and noise.

The rules are Gopher's (Rae et al. 2021, "Scaling Language Models", table A1 and appendix A.1.1),
each with a threshold from the settings. Gopher's own: words of 3 to 10 characters on average,
at most 0.1 hash signs or ellipses a word, at most 0.3 of the lines repeated. Gopher asks for
a letter in 80 % of the words; here the share of letters counts, which small texts can meet too.

A rule is a function of one text that returns a number; a document stays if that is within the
bounds. Letters are the letters of Unicode 14.0, on every Python.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from variorum.config.corpus_settings import NormalizeSettings
from variorum.corpus.unicode14 import LETTERS

_LETTER = re.compile(f"[{LETTERS}]")
_SYMBOL = re.compile(r"#|\.\.\.|…")


@dataclass(frozen=True)
class Rule:
    """Bound a number measured on a text; None is no bound."""

    name: str
    explanation: str
    measure: Callable[[str], float]
    least: float | None = None
    most: float | None = None

    def fault(self, text: str) -> str:
        """Return what is wrong with the text, or ""."""
        found = self.measure(text)
        if self.least is not None and found < self.least:
            return f"{found:.3g} < {self.least:g}"
        if self.most is not None and found > self.most:
            return f"{found:.3g} > {self.most:g}"
        return ""


def rules(settings: NormalizeSettings) -> list[Rule]:
    """Return the rules that the settings switch on."""
    found = [
        Rule(
            "letters",
            "documents with too few letters dropped",
            letter_share,
            least=settings.min_letter_share,
        ),
        Rule(
            "word_length",
            "documents with too short or too long words dropped",
            mean_word_length,
            settings.min_mean_word_length,
            settings.max_mean_word_length,
        ),
        Rule(
            "symbols",
            "documents with too many hash signs and ellipses dropped",
            symbols_per_word,
            most=settings.max_symbols_per_word,
        ),
        Rule(
            "repeated_lines",
            "documents with too many repeated lines dropped",
            repeated_lines,
            most=settings.max_repeated_lines,
        ),
    ]
    return [rule for rule in found if rule.least is not None or rule.most is not None]


def letter_share(text: str) -> float:
    """Return the share of letters among non-space characters; 0 if there are none."""
    solid = len("".join(text.split()))
    return len(_LETTER.findall(text)) / solid if solid else 0.0


def mean_word_length(text: str) -> float:
    """Return the mean length in characters of the words, which white space separates."""
    words = text.split()
    return sum(map(len, words)) / len(words) if words else 0.0


def symbols_per_word(text: str) -> float:
    """Return hash signs and ellipses per word."""
    return len(_SYMBOL.findall(text)) / max(1, len(text.split()))


def repeated_lines(text: str) -> float:
    """Return the share of non-blank lines that occurred earlier in the text."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0
