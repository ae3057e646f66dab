"""The words of a long text, and of many texts, are counted piece by piece."""

import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from variorum.evaluation.stress.behaviour.words import all_words, words_of
from variorum.tokenizer import pretokens
from variorum.tokenizer.derivation import count_words

WORDS = ["the", "État", "nd", "x", "don't", "ΣΑ", "12", "_", "\n", "a\x00b", " "]
TEXT = " ".join(random.Random(1).choices(WORDS, k=60_000))
LINES = [TEXT[start : start + 30] for start in range(0, len(TEXT), 30)]


@pytest.mark.parametrize("texts", [[TEXT], LINES])
def test_pieces_have_the_words_of_the_whole(
    texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = count_words(texts)
    monkeypatch.setattr(pretokens, "_CHUNK", 100)
    assert all_words(texts) == {word for text in texts for word in words_of(text)}
    assert count_words(texts) == whole
    assert whole.total() > 30_000


@pytest.mark.parametrize("count", [all_words, count_words])
@pytest.mark.parametrize("texts", [[TEXT], LINES])
def test_neither_one_long_text_nor_many_texts_take_memory(
    count: Callable[[Iterator[str]], Counter[str] | frozenset[str]],
    texts: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pretokens, "_CHUNK", 10_000)
    count(iter(texts[:1]))  # patterns are compiled once
    tracemalloc.start()
    count(iter(texts))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * len(TEXT)
