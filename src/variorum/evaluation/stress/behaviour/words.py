"""Measure how many of a text's words are known from train, by the temperature.

A word is a run of letters in lower case. Of each text its different words count, each once, so that
a loop of one word is one word; words cut off at either end are left out. Human text has words
that train never showed, too: its share is the ceiling. A model of random weights hits words by
accident, above all where a token is a word: its share is the floor. A text without a word has a
share of 0 where every human text has words. Where some have none, as tables of numbers between
prose, texts without a word are left out, of people and models alike: 0 would be no ceiling for
people, and a fault of a model that writes as they do. Where none has a word, nothing is judged.
"""

import re
from collections.abc import Iterable
from functools import partial

from variorum.corpus.unicode14 import LETTERS
from variorum.evaluation.stress.behaviour.outcome import (
    HUMAN,
    MODEL,
    RANDOM,
    WRITERS,
    Behaviour,
    Measurement,
    claim,
    outcome,
)
from variorum.evaluation.stress.behaviour.panel import (
    Measured,
    Panel,
    WrittenTexts,
    beyond,
    means,
)
from variorum.evaluation.stress.subject import StressedModel
from variorum.evaluation.stress.writing import excerpt, written_text
from variorum.tokenizer.pretokens import split, split_by_chunks

BEGINS_WORD = re.compile(f" ?[{LETTERS}]")
OWN = 1.0  # the temperature of the model's own probabilities


def words_of(text: str) -> list[str]:
    """Return the words of a text in order: runs of letters, in lower case."""
    return _words(split(text))


def all_words(texts: Iterable[str]) -> frozenset[str]:
    """Return the different words of texts, which are read piece by piece."""
    known: set[str] = set()
    for text in texts:
        for pieces in split_by_chunks(text):
            known.update(_words(pieces))
    return frozenset(known)


def _words(pieces: list[str]) -> list[str]:
    return [piece.lstrip(" ").lower() for piece in pieces if BEGINS_WORD.match(piece)]


def known_share(subject: StressedModel, tokens: list[int]) -> float:
    """Return the share of a text's different words that occur in train.

    A text without words has a share of 0. A word at either end may be cut off, and is left out.
    """
    words = whole_words(subject, tokens)
    return len(words & subject.texts.train_words) / len(words) if words else 0.0


def whole_words(subject: StressedModel, tokens: list[int]) -> set[str]:
    """Return the different words of a text that neither end cuts off."""
    pieces = split(written_text(subject.tokenizer, tokens))
    first = 0 if pieces and pieces[0].startswith(" ") else 1
    return set(_words(pieces[first:-1]))


def known_shares(panel: Panel, texts: WrittenTexts) -> Measured:
    """Measure each text; those that have a word, if human texts may lack one."""
    subject = panel.subject
    if not wordless(panel):
        return panel.of_texts(texts, partial(known_share, subject))
    return panel.of_texts(texts, partial(known_share, subject), partial(has_words, subject))


def has_words(subject: StressedModel, tokens: list[int]) -> bool:
    """Check whether a text has a word that neither end cuts off."""
    return bool(whole_words(subject, tokens))


def wordless(panel: Panel) -> int:
    """Return how many human texts have no word."""
    return sum(not has_words(panel.subject, tokens) for tokens in panel.human[0])


def left_out(panel: Panel) -> str:
    """Return a sentence on texts that were not measured, or ""."""
    found, number = wordless(panel), len(panel.human[0])
    if found == number:
        return " The held-out text has no words to compare with."
    if found:
        return (
            f" {found} of {number} held-out texts have no word: such texts are left out, of "
            "models, too."
        )
    return ""


def known_words(panel: Panel) -> Behaviour:
    """Compare the model's words with human text at its own probabilities; show other temperatures.

    The model itself is judged: nothing keeps it from bytes that are no text.
    """
    subject, settings = panel.subject, panel.subject.settings
    temperatures = sorted({*settings.temperatures, OWN})
    found, drawn, problem, shown_text = {}, "", "", ""
    for temperature in temperatures:
        changes = {"temperature": temperature, "valid_utf8": False}
        how = subject.plain(settings.text_tokens, changes)
        writers = WRITERS if temperature == OWN else (MODEL,)
        texts = panel.texts(how, writers)
        found[temperature] = known_shares(panel, texts)
        drawn, problem = drawn + texts.drawn, problem or texts.problem
        if temperature == OWN:
            shown_text = "".join(excerpt(subject.tokenizer, e.tokens) for e in texts.of_model[:1])
    rows = {each: Measurement(f"temperature {each:g}", means(own)) for each, own in found.items()}
    own = found[OWN]
    return outcome(
        "known-words",
        "Known words by temperature",
        "Does it write words, as far as human text consists of words that train showed?",
        unit="share",
        shown=rows[OWN],
        rows=list(rows.values()),
        claims=[
            claim("more than the random model", beyond(own, RANDOM), least=0.0),
            claim(
                "no less than in human text",
                beyond(own, HUMAN),
                least=-settings.human_margin,
            ),
        ],
        explanation=(
            f"Of each text's different words, the share that occurs in the training text, in "
            f"{settings.texts} texts of {settings.text_tokens} tokens at each temperature, drawn "
            f"from all tokens. Temperature {OWN:g} is judged, at which a perfect model writes as "
            f"people do. No less: the interval of the difference lies above "
            f"-{settings.human_margin:g}.{left_out(panel)}{problem}"
        ),
        excerpt=shown_text,
        drawn=drawn,
    )
