"""Rules of quality: what they measure, and which documents they drop."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from variorum.base.errors import VariorumError
from variorum.config.corpus_settings import NormalizeSettings
from variorum.corpus import quality
from variorum.corpus.documents import Document
from variorum.corpus.normalize import Normalizer

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))


@pytest.mark.parametrize(
    ("measure", "text", "expected"),
    [
        (quality.letter_share, "ab 1.", 0.5),
        (quality.letter_share, "Größe жук 漢字", 1.0),
        (quality.letter_share, " \n", 0.0),
        (quality.mean_word_length, "a bb  ccc\nffff", 2.5),
        (quality.mean_word_length, "", 0.0),
        (quality.symbols_per_word, "# one ... two…", 3 / 4),
        (quality.symbols_per_word, "none here", 0.0),
        (quality.repeated_lines, "a\nb\n\n a \nb\n", 0.5),
        (quality.repeated_lines, "a\nb\nc", 0.0),
        (quality.repeated_lines, "\n\n", 0.0),
    ],
)
def test_what_is_measured(measure, text, expected):
    assert measure(text) == pytest.approx(expected)


@given(TEXTS)
def test_shares_are_shares(text):
    assert 0 <= quality.letter_share(text) <= 1
    assert 0 <= quality.repeated_lines(text) < 1


@given(st.text("ab 1\n", max_size=60))
def test_measures_agree_with_counting_by_hand(text):
    letters, solid = len(re.findall("[ab]", text)), len(re.findall("[ab1]", text))
    assert quality.letter_share(text) == (letters / solid if solid else 0)
    words = re.findall("[ab1]+", text)
    assert quality.mean_word_length(text) == (solid / len(words) if words else 0)


SAMPLES = {
    "good": "Running text that says something about kettles.",
    "noise": "1234 5678 !!! 90 == 12 x",
    "long": "Donaudampfschifffahrtsgesellschaftskapitän " * 2,
    "tags": "#one #two #three and more",
    "refrain": "la la\nla la\nla la\nsomething else",
}


def kept(**settings: object) -> tuple[set[str], Normalizer]:
    normalizer = Normalizer(NormalizeSettings(**settings))
    documents = [Document(name, name, text) for name, text in SAMPLES.items()]
    return {document.id for document in normalizer.run(documents)}, normalizer


@pytest.mark.parametrize(
    ("settings", "step", "dropped", "reason"),
    [
        ({"min_letter_share": 0.6}, "letters", "noise", "0.0556 < 0.6"),
        ({"max_mean_word_length": 12}, "word_length", "long", "42 > 12"),
        ({"min_mean_word_length": 2.7}, "word_length", "noise", "2.57 < 2.7"),
        ({"max_symbols_per_word": 0.3}, "symbols", "tags", "0.6 > 0.3"),
        ({"max_repeated_lines": 0.3}, "repeated_lines", "refrain", "0.5 > 0.3"),
    ],
)
def test_a_rule_drops_what_it_is_for_and_shows_it_with_the_reason(settings, step, dropped, reason):
    names, normalizer = kept(**settings)
    counted = next(s for s in normalizer.funnel.steps if s.name == step)
    assert dropped not in names
    assert "good" in names
    assert dropped in {example.document for example in counted.examples}
    assert reason in {example.reason for example in counted.examples}
    assert counted.dropped == len(SAMPLES) - len(names)


def test_without_settings_there_are_no_rules():
    names, normalizer = kept()
    assert names == set(SAMPLES)
    steps = {step.name for step in normalizer.funnel.steps}
    assert not steps & {"letters", "word_length", "symbols", "repeated_lines", "near_duplicates"}


def test_the_bounds_themselves_are_kept():
    assert "good" in kept(min_letter_share=quality.letter_share(SAMPLES["good"]))[0]
    assert "refrain" in kept(max_repeated_lines=0.5)[0]


def test_nothing_left_names_the_rule():
    with pytest.raises(VariorumError, match=r"word_length dropped 5"):
        kept(min_mean_word_length=100)
