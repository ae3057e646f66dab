"""The n-gram baseline: its slow twin, and what probabilities have to be."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.kneser_ney import END, SlowNgramModel
from variorum.base.errors import VariorumError
from variorum.evaluation.ngrams import NgramModel, bits_per_byte

texts = st.lists(
    st.text("aab\xff", max_size=12).map(lambda text: text.encode("latin-1")), max_size=4
)


@settings(deadline=None)
@given(texts, texts, st.integers(1, 4))
def test_scores_equal_the_slow_twins(train: list[bytes], test: list[bytes], order: int) -> None:
    found = NgramModel(train, order).score(test)
    assert found == pytest.approx(SlowNgramModel(train, order).score(test), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(texts, st.integers(1, 3), st.text("aab", max_size=6).map(str.encode))
def test_probabilities_behind_any_context_sum_to_one(
    train: list[bytes], order: int, context: bytes
) -> None:
    model = NgramModel(train, order)
    behind = [math.exp(-model.score([context + bytes([b])])[len(context)]) for b in range(256)]
    end = math.exp(-model.score([context])[-1])
    assert sum(behind) + end == pytest.approx(1)


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
    assert len(NgramModel([b"ab"], 2).score([b"ab", b"", b"c"])) == 6
    assert END == 256


@pytest.mark.parametrize("order", [0, 8])
def test_orders_that_cannot_be_are_refused(order: int) -> None:
    with pytest.raises(VariorumError, match=f"n-grams of {order} symbols; give 1 to 7"):
        NgramModel([], order)


def test_no_text_is_refused() -> None:
    with pytest.raises(VariorumError, match="hold no text"):
        bits_per_byte(["a"], ["", ""], 3)
