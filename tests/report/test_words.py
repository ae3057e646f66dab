"""What the page tells of a tokenizer's words is what the tokenizer does."""

from collections import Counter

import pytest

from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.report.token_words import words
from variorum.tokenizer.derivation import count_words
from variorum.tokenizer.kinds import bpe, characters

TEXT = "the function functions as the other functions do; " * 9 + "a rare one "


@pytest.fixture(scope="module")
def counts() -> Counter[str]:
    return count_words([TEXT])


def test_common_and_rare_words_are_split_as_by_the_tokenizer(counts: Counter[str]) -> None:
    tokenizer = bpe.train([TEXT], TokenizerSettings(kind="bpe", vocab_size=280))
    found = words(tokenizer, counts)
    assert [split["rank"] for split in found["splits"]] == [1, 3, 10]
    assert found["distinct"] == len(counts)
    for split in found["splits"]:
        word = split["word"].replace("␣", " ")
        assert split["count"] == counts[word]
        assert split["bytes"] == len(word)
        assert split["tokens"] == len(tokenizer.encode(word)) == len(split["pieces"])
        assert "".join(split["pieces"]) == split["word"]
    assert found["splits"][0]["count"] == max(counts.values())


def test_the_story_goes_from_bytes_to_one_token(counts: Counter[str]) -> None:
    tokenizer = bpe.train([TEXT], TokenizerSettings(kind="bpe", vocab_size=280))
    story = words(tokenizer, counts)["derivation"]
    assert "".join(story["bytes"]) == story["word"] == "␣functions"
    assert story["count"] == counts[" functions"]
    assert story["merges"][-1]["pieces"] == [story["word"]]
    assert [merge["number"] for merge in story["merges"]] == sorted(
        merge["number"] for merge in story["merges"]
    )


def test_characters_have_no_story_and_an_empty_text_has_no_words(counts: Counter[str]) -> None:
    tokenizer = characters.train([TEXT], TokenizerSettings(kind="characters"))
    assert words(tokenizer, counts)["derivation"] is None
    assert words(tokenizer, {})["splits"] == []
