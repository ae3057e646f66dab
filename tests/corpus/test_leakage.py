import random
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles import leakage as oracle
from variorum.corpus import leakage
from variorum.corpus.leakage import share_of_spans

PARTS = st.lists(st.text(st.sampled_from("ab\ud800é😀"), max_size=30), max_size=6)


@given(PARTS, PARTS, st.integers(1, 6), st.sampled_from([1, 7, 1 << 20]))
def test_the_share_is_that_of_plain_counting(text, train, span, batch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leakage, "_BATCH", batch)
        assert share_of_spans(text, iter(train), span) == pytest.approx(
            oracle.share_of_spans(text, train, span), abs=1e-12
        )


@given(PARTS, PARTS, st.integers(1, 4))
def test_colliding_hashes_change_nothing(text, train, span):
    with pytest.MonkeyPatch.context() as patch:
        hashes = leakage._hashes
        patch.setattr(leakage, "_hashes", lambda *arguments: hashes(*arguments) % 2)
        assert share_of_spans(text, train, span) == pytest.approx(
            oracle.share_of_spans(text, train, span), abs=1e-12
        )


def test_no_span_crosses_from_one_part_to_the_next():
    assert share_of_spans(["ab", "cd"], ["abcd"], span=3) == 0.0
    assert share_of_spans(["abcd"], ["ab", "cd"], span=3) == 0.0


def test_texts_shorter_than_a_span_are_whole_documents():
    names = ["Ada Lovelace", "Alan Turing", "Grace Hopper"]
    assert share_of_spans(names, names) == 1
    assert share_of_spans([*names, "Ada"], names) == 3 / 4, "a part of a name is not that name"
    assert share_of_spans(["x" * 60, *names * 33], names) == pytest.approx(99 / (99 + 11))


def test_without_text_there_is_no_share():
    for text in ([], [""], ["", ""]):
        assert share_of_spans(text, ["abc" * 60]) is None
    assert share_of_spans(["abc" * 60], []) == 0


def test_a_copied_sentence_is_found():
    copied = "x" * 100
    assert share_of_spans(["y" * 49 + copied], [copied]) == pytest.approx(51 / 100)


@given(st.integers(1, 9), st.integers(0, 40), st.integers(1, 12))
def test_a_long_part_is_searched_piece_by_piece(batch, length, span):
    draw = random.Random(f"{batch} {length} {span}")
    text, train = ("".join(draw.choices("ab", k=length)) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leakage, "_BATCH", batch)
        pieces = [piece for each in leakage._batches([train], span) for _, piece in each]
        assert max(map(len, pieces)) < batch + span
        assert share_of_spans([text], [train], span) == pytest.approx(
            oracle.share_of_spans([text], [train], span)
        )


def test_memory_does_not_grow_with_train():
    """The peak beside 20 times as much train, in one part; what the parts take is there before."""

    def peak(factor):
        train = ["words and more words of train " * (20_000 * factor)]
        tracemalloc.start()
        try:
            share_of_spans(text, train)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    text = ["a text of its own " * 3000]
    assert peak(20) < 1.3 * peak(4)


def test_a_megabyte_against_two_takes_seconds():
    draw = random.Random(1)
    train = ["".join(draw.choices("abcdefgh ", k=2000)) for _ in range(1000)]
    text = [part if n % 20 == 0 else part[::-1] for n, part in enumerate(train[::2])]
    start = time.process_time()
    assert share_of_spans(text, train) == pytest.approx(0.05)
    assert time.process_time() - start < 10
