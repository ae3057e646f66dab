"""Generate a made-up language of known entropy: a random Markov chain over letters.

The letters are the first of the alphabet. After each `order` letters the next one is drawn by odds
of their own, which are drawn once from the seed: the `sharpness`-th power of an even random number,
as a whole number, plus one, so that every letter can follow. The chain's entropy rate is the least
that any model can need on average; the excess is left to learn. A letter near the beginning of a
document is harder to guess, so only long documents reach the bound.

The text is one long walk, cut into documents. Odds and draws are whole numbers, and Python promises
that `Random.random` gives the same numbers for a seed in every version; so the text has the same
bytes everywhere.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from random import Random
from typing import Literal, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from variorum.config.types import MOST_SEED, Whole, setting
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus.source import SOURCES, SourceSettings

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MOST = 1 << 20  # the largest odds
_BURN_IN = 10_000  # letters before the first document, so that no beginning is special
_DIGITS = 10  # of the entropy: machines differ in the last bits of a sum


MOST_ODDS = 2**20


class SyntheticSource(SourceSettings):
    """Describe a made-up language of known entropy: a random Markov chain over letters."""

    kind: Literal["synthetic"] = setting("synthetic", "The kind of source.", component=SOURCES)
    alphabet_size: Whole = setting(
        16, "Letters of the language, from a on.", unit="letters", ge=2, le=26
    )
    order: Whole = setting(
        2, "How many letters back decide what comes next.", unit="letters", ge=0, le=6
    )
    sharpness: Whole = setting(
        4, "How uneven the odds of the next letter are; 0 makes all alike.", ge=0, le=32
    )
    documents: Whole = setting(1000, "How many documents.", unit="documents", ge=1)
    length: Whole = setting(1000, "Length of each document.", unit="letters", ge=1)
    seed: Whole = setting(1, "Seed of the odds and of the text.", ge=0, le=MOST_SEED)

    @model_validator(mode="after")
    def _table_fits(self) -> Self:
        size = self.alphabet_size ** (self.order + 1)
        if size > MOST_ODDS:
            raise PydanticCustomError(
                "order",
                "order: {order} with an alphabet of {letters} needs {size} odds, and {most} are "
                "the most; give less of either",
                {
                    "order": self.order,
                    "letters": self.alphabet_size,
                    "size": size,
                    "most": MOST_ODDS,
                },
            )
        return self

    @property
    def title(self) -> str:
        """Return a description with the size of the language."""
        return (
            f"a made-up language of {self.alphabet_size} letters, {self.order} of which decide the "
            "next"
        )


def fetch(settings: SyntheticSource, context: FetchContext) -> Iterator[Document]:
    """Yield the documents, each its own group; record their entropy as a fact."""
    from variorum.corpus.markov_entropy import entropy_rate

    context.facts.entropy = round(entropy_rate(odds(settings), settings.order), _DIGITS)
    context.facts.notes.append(
        f"Its entropy rate is {context.facts.entropy:.4f} bits per byte: no model can need less on "
        "average."
    )
    return _documents(settings)


def odds(settings: SyntheticSource) -> list[list[int]]:
    """Return the odds of each next letter, for each context in alphabetical order."""
    random = Random(2 * settings.seed)
    letters = settings.alphabet_size
    return [
        [1 + int(_power(random.random(), settings.sharpness) * _MOST) for _ in range(letters)]
        for _ in range(letters**settings.order)
    ]


def _power(base: float, exponent: int) -> float:
    """Return `base ** exponent` by multiplication alone: equal on every machine."""
    result = 1.0
    for _ in range(exponent):
        result *= base
    return result


def _documents(settings: SyntheticSource) -> Iterator[Document]:
    walk = _walk(settings)
    for _ in range(_BURN_IN):
        next(walk)
    for number in range(settings.documents):
        name = f"{number:06}"
        text = "".join(next(walk) for _ in range(settings.length))
        yield Document(id=name, group=name, text=text, meta={})


def _walk(settings: SyntheticSource) -> Iterator[str]:
    """Yield letters without end."""
    random = Random(2 * settings.seed + 1)
    sums = [list(accumulate(row)) for row in odds(settings)]
    contexts, context = len(sums), 0
    while True:
        row = sums[context]
        letter = bisect_right(row, int(random.random() * row[-1]))
        context = (context * settings.alphabet_size + letter) % contexts
        yield _LETTERS[letter]
