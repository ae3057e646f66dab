"""The story of a word ends where encoding ends, and each of its steps is one learned merge."""

from hypothesis import given
from hypothesis import strategies as st

from oracles import bpe as oracle
from variorum.tokenizer.base import text_bytes
from variorum.tokenizer.derivation import (
    LEAST_MERGES,
    by_frequency,
    count_words,
    derive,
    telling_word,
)
from variorum.tokenizer.kinds.bpe import ID_OF_BYTE, BytePairTokenizer
from variorum.tokenizer.learning import learn

WORDS = st.text("abcé ", min_size=1, max_size=12)
COUNTS = st.dictionaries(WORDS, st.integers(1, 5), min_size=1, max_size=12)


def trained(counts: dict[str, int], most: int = 60) -> BytePairTokenizer:
    """A tokenizer that learned from counted words."""
    words = {text_bytes(word).translate(ID_OF_BYTE): n for word, n in counts.items()}
    return BytePairTokenizer(learn(words, most))


@given(COUNTS, WORDS)
def test_a_derivation_ends_with_the_tokens_and_takes_merges_in_their_order(
    counts: dict[str, int], word: str
) -> None:
    tokenizer = trained(counts)
    steps = derive(tokenizer.merges, word)
    ids = oracle.apply(text_bytes(word).translate(ID_OF_BYTE), tokenizer.merges)
    pieces = [bytes([byte]) for byte in text_bytes(word)]
    assert [step.rank for step in steps] == sorted({step.rank for step in steps})
    for step in steps:
        first, second = tokenizer.merges[step.rank]
        assert step.joined == (tokenizer.token_bytes(first), tokenizer.token_bytes(second))
        assert b"".join(step.joined) in step.pieces
        assert len(step.pieces) < len(pieces)
        assert b"".join(step.pieces) == text_bytes(word)
        pieces = list(step.pieces)
    assert pieces == [tokenizer.token_bytes(token) for token in ids]


@given(COUNTS)
def test_the_telling_word_is_the_commonest_of_enough_merges(counts: dict[str, int]) -> None:
    merges = trained(counts).merges
    words = by_frequency(counts)
    taken = {}
    for word in words:
        steps = derive(merges, word)
        if steps and len(steps[-1].pieces) == 1:
            taken[word] = len(steps)
    enough = [word for word in taken if taken[word] >= LEAST_MERGES]
    most = [word for word in taken if taken[word] == max(taken.values())]
    assert telling_word(merges, words) == next(iter(enough or most), None)


def test_words_are_counted_with_the_space_before_them() -> None:
    counts = count_words(["the cat, the 2 cats", "the cat"])
    assert counts == {"the": 2, " cat": 2, " the": 1, " cats": 1}
    assert by_frequency(counts) == [" cat", "the", " cats", " the"]
