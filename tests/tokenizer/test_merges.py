"""Merges are learned and applied as by the slow twins."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles import bpe as oracle
from variorum.tokenizer import learning, merges
from variorum.tokenizer.learning import learn
from variorum.tokenizer.merging import Merging

SECONDS = 10  # ten times what it takes; reading the word anew for each merge takes longer
# Few different bytes, so that pairs, ties, runs and equal spellings are frequent.
WORDS = st.lists(st.sampled_from(b"abc"), min_size=1, max_size=12).map(bytes)
COUNTS = st.dictionaries(WORDS, st.integers(1, 5), max_size=12)


@given(COUNTS, st.integers(0, 40))
def test_the_learned_merges_equal_the_slow_twins(counts: dict[bytes, int], most: int) -> None:
    assert learn(counts, most) == oracle.learn(counts, most)


@given(COUNTS, st.integers(0, 40), st.integers(-1, 4))
def test_in_arrays_as_in_loops_the_same_merges_are_learned(
    counts: dict[bytes, int], most: int, few: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "_FEW", few)
        assert learn(counts, most) == oracle.learn(counts, most)


PAIRS = st.lists(st.tuples(st.integers(97, 99), st.integers(97, 99)), unique=True, max_size=6)


@given(PAIRS, st.lists(st.sampled_from(b"abc"), max_size=20).map(bytes) | st.binary(max_size=3))
def test_many_words_are_encoded_as_each_by_itself(pairs: list[merges.Pair], word: bytes) -> None:
    # Merges that no training gives too: others' tokenizers may have them.
    ranks = {pair: rank for rank, pair in enumerate([*pairs, (256, 97), (98, 257), (257, 256)])}
    words = [word, b"", b"a" * 200, word[::-1], b"cab", word + word]
    assert Merging(ranks).apply(words) == [merges.apply(each, ranks) for each in words]


@given(COUNTS)
def test_no_two_ids_have_one_spelling(counts: dict[bytes, int]) -> None:
    learned = learn(counts, 1000)
    spellings = merges.spellings(learned)
    assert len(spellings) == len(set(spellings)) == 256 + len(learned)
    assert len(set(learned)) == len(learned)


@given(COUNTS)
def test_merged_to_the_end_every_word_has_an_id(counts: dict[bytes, int]) -> None:
    assert set(counts) <= set(merges.spellings(learn(counts, 1000)))


@given(COUNTS, st.data())
def test_the_order_of_the_words_does_not_matter(
    counts: dict[bytes, int], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(list(counts)))
    assert learn({w: counts[w] for w in shuffled}, 40) == learn(counts, 40)


@given(COUNTS, st.lists(st.sampled_from(b"abc"), max_size=30).map(bytes))
def test_any_word_is_encoded_as_the_slow_twin_does(counts: dict[bytes, int], word: bytes) -> None:
    learned = learn(counts, 40)
    ids = merges.apply(word, {pair: rank for rank, pair in enumerate(learned)})
    assert ids == oracle.apply(word, learned)
    spellings = merges.spellings(learned)
    assert b"".join(spellings[i] for i in ids) == word


def test_the_highest_count_is_merged_first_and_ties_go_to_the_lowest_ids() -> None:
    assert learn({b"xy": 2, b"ab": 1}, 1) == [tuple(b"xy")]
    assert learn({b"xy": 1, b"ab": 1}, 1) == [tuple(b"ab")]
    assert learn({b"az": 1, b"ab": 1}, 1) == [tuple(b"ab")]


def test_a_run_is_merged_from_left_to_right() -> None:
    assert learn({b"aaa": 1}, 9) == [tuple(b"aa"), (256, ord("a"))]


def test_a_long_word_is_learned_from_in_time_that_grows_with_its_length() -> None:
    word = bytes(random.Random(1).choices(b"ACGT", k=100_000))
    start = time.process_time()
    assert len(learn({word: 1}, 2000)) == 2000
    assert time.process_time() - start < SECONDS
