"""The n-gram baseline: its slow twin, and what probabilities have to be."""

import math
import random
import tracemalloc
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import wide_ngrams
from oracles.kneser_ney import END, SlowNgramModel
from variorum.base.errors import VariorumError
from variorum.evaluation import ngrams
from variorum.evaluation.ngrams import best_order, nats, nats_by_order

texts = st.lists(
    st.text("aab\xff", max_size=12).map(lambda text: text.encode("latin-1")), max_size=4
)


@settings(deadline=None)
@given(texts, texts)
def test_nats_of_every_order_equal_the_slow_twins(train: list[bytes], test: list[bytes]) -> None:
    for order, found in enumerate(islice(nats_by_order(train, test), 6), start=1):
        assert found == pytest.approx(SlowNgramModel(train, order).score(test), rel=1e-9)
        assert (found == nats(train, test, order)).all()


@settings(deadline=None)
@given(texts, texts)
def test_numbers_of_32_and_64_bits_give_the_same_nats(
    train: list[bytes], test: list[bytes]
) -> None:
    pairs = zip(nats_by_order(train, test), wide_ngrams.nats_by_order(train, test), strict=False)
    assert all(found.tobytes() == wide.tobytes() for found, wide in islice(pairs, 6))


def test_blocks_of_a_long_text_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "BLOCK", 1000)
    draw = random.Random(1)
    train, test = ([bytes(draw.choices(b"abcd \xff", k=9000)) for _ in range(3)] for _ in range(2))
    pairs = zip(nats_by_order(train, test), wide_ngrams.nats_by_order(train, test), strict=False)
    assert all(found.tobytes() == wide.tobytes() for found, wide in islice(pairs, 16))


def test_a_symbol_of_train_takes_sixty_bytes_and_a_predicted_one_forty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ngrams, "BLOCK", 10_000)
    draw = random.Random(1)
    large, small = (bytes(draw.choices(b"abcdefgh ", k=n)) for n in (500_000, 1000))
    for train, test, most in ((large, small, 60), (small, large, 40)):
        tracemalloc.start()
        nats([train], [test], 12)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < most * len(large) + 3_000_000  # and a block


def test_more_text_than_numbers_can_tell_apart_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (ngrams.MOST_SYMBOLS + 1) * ngrams.SYMBOLS << 27 < 2**63
    monkeypatch.setattr(ngrams, "MOST_SYMBOLS", 5)
    assert len(nats([b"abcd"], [b"a"], 2)) == 2
    with pytest.raises(VariorumError, match="training text of 6 symbols; give at most 5"):
        nats([b"abcde"], [b"a"], 2)


@settings(deadline=None, max_examples=30)
@given(texts, st.integers(1, 3), st.text("aab", max_size=6).map(str.encode))
def test_probabilities_behind_any_context_sum_to_one(
    train: list[bytes], order: int, context: bytes
) -> None:
    texts = [context + bytes([b]) for b in range(256)]
    behind = [math.exp(-nats(train, [text], order)[len(context)]) for text in texts]
    end = math.exp(-nats(train, [context], order)[-1])
    assert sum(behind) + end == pytest.approx(1)


def bits_per_byte(train: list[str], test: list[str], order: int) -> float:
    known, new = ([text.encode() for text in texts] for texts in (train, test))
    return float(nats(known, new, order).sum() / math.log(2) / sum(map(len, new)))


def test_what_it_was_given_costs_less_than_what_it_never_saw() -> None:
    text = " ".join(f"{n} times {n} is {n * n}." for n in range(300))
    known, new = text[: len(text) // 2], text[len(text) // 2 :]
    costs = [bits_per_byte([known], [new], order) for order in (1, 2, 3)]
    assert costs[0] > costs[1] > costs[2]
    assert bits_per_byte([known], [known], 6) < 0.6 * costs[-1]
    assert bits_per_byte([], [new], 6) == pytest.approx(math.log2(257), rel=0.01)


def test_a_uniform_source_costs_its_entropy() -> None:
    draw = np.random.Generator(np.random.Philox(1))
    train, test = (bytes(draw.integers(0, 4, 200_000, dtype=np.uint8)).decode() for _ in range(2))
    assert bits_per_byte([train], [test], 3) == pytest.approx(2, abs=0.005)


def test_the_end_of_a_document_is_paid_for_and_starts_the_next() -> None:
    assert len(nats([b"ab"], [b"ab", b"", b"c"], 2)) == 6
    assert END == 256


def test_an_order_that_cannot_be_is_refused() -> None:
    with pytest.raises(VariorumError, match="n-grams of 0 symbols; give at least 1"):
        nats([], [], 0)


def test_the_best_order_is_what_val_needs_fewest_nats_by() -> None:
    draw = np.random.Generator(np.random.Philox(2))
    text = bytes(draw.integers(97, 99, 20_000, dtype=np.uint8))
    fourth = bytearray(text)  # every fourth byte repeats the one three places before
    for place in range(4, len(fourth), 4):
        fourth[place] = fourth[place - 3]
    train, val = [bytes(fourth[:15_000])], [bytes(fourth[15_000:])]
    best = best_order(train, val, 8)
    costs = [nats(train, val, order).sum() for order in range(1, 9)]
    assert best == 1 + costs.index(min(costs)) > 3
    assert best_order([text[:15_000]], [text[15_000:]], 8) < best


def test_grams_of_any_length_are_told_apart() -> None:
    """Beyond 7 symbols, where they would not fit into 64 bits one behind the other."""
    period = bytes(range(97, 117))
    train, test = [period * 30], [period * 3]
    costs = [nats(train, test, order).sum() for order in (1, 8, 40)]
    assert costs[0] > costs[1]
    assert costs[2] < costs[0]
