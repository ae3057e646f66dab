"""Merges are learned and applied as by the slow twins."""

import random
import time

from hypothesis import given
from hypothesis import strategies as st

from oracles import bpe as oracle
from variorum.tokenizer import merges

# Few different bytes, so that pairs, ties, runs and equal spellings are frequent.
WORDS = st.lists(st.sampled_from(b"abc"), min_size=1, max_size=12).map(bytes)
COUNTS = st.dictionaries(WORDS, st.integers(1, 5), max_size=12)


@given(COUNTS, st.integers(257, 290))
def test_the_learned_merges_are_those_of_the_slow_twin(
    counts: dict[bytes, int], vocab_size: int
) -> None:
    learned = merges.learn(counts, vocab_size)
    pairs, spellings = oracle.learn(counts, vocab_size)
    assert list(learned.pairs) == pairs
    assert list(learned.spellings) == spellings


@given(COUNTS)
def test_each_merge_spells_its_two_parts(counts: dict[bytes, int]) -> None:
    learned = merges.learn(counts, 290)
    for (first, second), new in zip(learned.pairs, learned.ids, strict=True):
        spelled = learned.spellings[first] + learned.spellings[second]
        assert learned.spellings[new] == spelled
    assert len(set(learned.spellings)) == len(learned.spellings)


@given(COUNTS, st.data())
def test_the_order_of_the_words_does_not_matter(
    counts: dict[bytes, int], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(list(counts)))
    assert merges.learn({w: counts[w] for w in shuffled}, 290) == merges.learn(counts, 290)


@given(COUNTS, st.lists(st.sampled_from(b"abc"), max_size=30).map(bytes))
def test_any_word_is_encoded_as_the_slow_twin_does(counts: dict[bytes, int], word: bytes) -> None:
    learned = merges.learn(counts, 290)
    ranks = {pair: rank for rank, pair in enumerate(learned.pairs)}
    ids = merges.apply(word, ranks, learned.ids)
    assert ids == oracle.apply(word, learned.pairs, learned.spellings)
    assert b"".join(learned.spellings[i] for i in ids) == word


def test_the_highest_count_is_merged_first_and_ties_go_to_the_lowest_ids() -> None:
    assert merges.learn({b"xy": 2, b"ab": 1}, 257).pairs == ((ord("x"), ord("y")),)
    assert merges.learn({b"xy": 1, b"ab": 1}, 257).pairs == ((ord("a"), ord("b")),)
    assert merges.learn({b"az": 1, b"ab": 1}, 257).pairs == ((ord("a"), ord("b")),)


def test_two_routes_to_one_spelling_share_an_id() -> None:
    # ab and bc are merged first; abc then arises as ab+c and as a+bc.
    counts = {b"ab": 50, b"bc": 40, b"abc": 3, b"bcabc": 1, b"aabc": 30, b"bbc": 1}
    table = merges.MergeTable()
    ab, bc = table.add((97, 98)), table.add((98, 99))
    assert table.add((ab, 99)) == table.add((97, bc)) == 258
    learned = merges.learn(counts, 300)
    assert len(set(learned.spellings)) == len(learned.spellings)


def test_a_long_word_is_learned_from_in_time_that_grows_with_its_length() -> None:
    word = bytes(random.Random(1).choices(b"ACGT", k=100_000))
    start = time.perf_counter()
    assert len(merges.learn({word: 1}, 2256).spellings) == 2256
    assert time.perf_counter() - start < 5
