"""Quality filters: rules of thumb that tell running text from menus, tables and noise.

They are those of Gopher (Rae et al. 2021, "Scaling Language Models", table A1 and appendix A.1.1),
each with a threshold that the settings give. Gopher's own: words of 3 to 10 characters on average,
at most 0.1 hash signs or ellipses a word, at most 0.3 of the lines repeated. Gopher asks for
a letter in 80 % of the words; here the share of letters is asked, which small texts can meet too.

A rule is a function of one text that gives a number; a document stays if that is within the bounds.
Letters are those of Unicode 14.0, on every Python.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from variorum.base.unicode14 import LETTERS
from variorum.config.corpus_settings import NormalizeSettings

_LETTER = re.compile(f"[{LETTERS}]")
_SYMBOL = re.compile(r"#|\.\.\.|…")


@dataclass(frozen=True)
class Rule:
    """A number that a text has, and the bounds that it must keep; None is no bound."""

    name: str
    explanation: str
    measure: Callable[[str], float]
    least: float | None = None
    most: float | None = None

    def fault(self, text: str) -> str:
        """What is wrong with the text, or nothing."""
        found = self.measure(text)
        if self.least is not None and found < self.least:
            return f"{found:.3g} < {self.least:g}"
        if self.most is not None and found > self.most:
            return f"{found:.3g} > {self.most:g}"
        return ""


def rules(settings: NormalizeSettings) -> list[Rule]:
    """The rules that the settings switch on."""
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
    """Share of letters among all characters but spaces; 0 for a text without any."""
    solid = len("".join(text.split()))
    return len(_LETTER.findall(text)) / solid if solid else 0.0


def mean_word_length(text: str) -> float:
    """Mean length of the words, in characters; words are what spaces part."""
    words = text.split()
    return sum(map(len, words)) / len(words) if words else 0.0


def symbols_per_word(text: str) -> float:
    """Hash signs and ellipses for each word."""
    return len(_SYMBOL.findall(text)) / max(1, len(text.split()))


def repeated_lines(text: str) -> float:
    """Share of the lines, but for blank ones, that stood before in the text."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0
