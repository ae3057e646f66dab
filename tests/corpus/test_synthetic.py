"""The made-up language: its entropy is what is said, its text the same everywhere."""

import hashlib
import math
from collections import Counter
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from variorum.base.errors import VariorumError
from variorum.corpus import markov_entropy
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus.markov_entropy import entropy_rate
from variorum.corpus.sources import synthetic
from variorum.corpus.sources.synthetic import SyntheticSource

GOLDEN = ("68f82a09e5fc3c18", 1.43486945)


def text_of(source: SyntheticSource) -> tuple[str, float]:
    context = FetchContext(Path(), Path(), (), lambda line: None)
    text = "".join(document.text for document in synthetic.fetch(source, context))
    assert context.facts.entropy is not None
    return text, context.facts.entropy


def conditional_entropy(text: str, order: int) -> float:
    """Bits per letter, given the `order` letters before it, by counting."""
    longer = Counter(text[n : n + order + 1] for n in range(len(text) - order))
    shorter = Counter(text[n : n + order] for n in range(len(text) - order))
    bits = sum(n * math.log2(n / shorter[run[:order]]) for run, n in longer.items())
    return -bits / (len(text) - order)


@pytest.mark.parametrize(
    ("letters", "order", "sharpness"), [(4, 0, 4), (5, 1, 2), (4, 2, 8), (3, 4, 3), (16, 1, 0)]
)
def test_the_empirical_entropy_of_a_long_text_approaches_what_is_said(letters, order, sharpness):
    source = SyntheticSource(
        alphabet_size=letters, order=order, sharpness=sharpness, documents=1, length=300_000
    )
    text, entropy = text_of(source)
    found = conditional_entropy(text, order)
    assert found == pytest.approx(entropy, abs=0.01)
    if order:  # a model that looks back less far needs more
        assert conditional_entropy(text, order - 1) > found
    if not sharpness:
        assert entropy == pytest.approx(math.log2(letters), abs=1e-9)


def exact_shares(table: list[list[int]], order: int, letters: int) -> list[Fraction]:
    """The stationary distribution, by solving its equations in fractions (Gauss-Jordan)."""
    contexts = list(product(range(letters), repeat=order))
    place = {context: n for n, context in enumerate(contexts)}
    size = len(contexts)
    rows = [[Fraction(0)] * (size + 1) for _ in range(size)]
    for context, odds in zip(contexts, table, strict=True):
        for letter, weight in enumerate(odds):
            target = place[(*context, letter)[1:]]
            rows[target][place[context]] += Fraction(weight, sum(odds))
    for n in range(size):
        rows[n][n] -= 1
    rows[-1] = [Fraction(1)] * (size + 1)  # one equation follows from the others: shares sum to 1
    for n in range(size):
        pivot = next(m for m in range(n, size) if rows[m][n])
        rows[n], rows[pivot] = rows[pivot], rows[n]
        rows[n] = [value / rows[n][n] for value in rows[n]]
        for m in range(size):
            if m != n and rows[m][n]:
                rows[m] = [a - rows[m][n] * b for a, b in zip(rows[m], rows[n], strict=True)]
    return [row[-1] for row in rows]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 3), st.integers(0, 2), st.data())
def test_the_entropy_rate_is_that_of_the_exact_stationary_distribution(letters, order, data):
    row = st.lists(st.integers(1, 10**6), min_size=letters, max_size=letters)
    table = data.draw(st.lists(row, min_size=letters**order, max_size=letters**order))
    expected = -sum(
        float(share) * weight / sum(odds) * math.log2(weight / sum(odds))
        for share, odds in zip(exact_shares(table, order, letters), table, strict=True)
        for weight in odds
    )
    assert entropy_rate(table, order) == pytest.approx(expected, rel=1e-9)


def solved(table: list[list[int]], letters: int) -> float:
    """The entropy rate by a linear solver, for tables that are too large for fractions."""
    odds = np.array(table, dtype=np.float64)
    odds /= odds.sum(axis=1, keepdims=True)
    size = len(odds)
    equations = -np.eye(size)
    for context, letter in product(range(size), range(letters)):
        equations[(context * letters + letter) % size, context] += odds[context, letter]
    equations[-1] = 1
    shares = np.linalg.solve(equations, np.eye(size)[-1])
    return float(shares @ -(odds * np.log2(odds)).sum(axis=1))


@pytest.mark.parametrize(
    ("letters", "order", "sharpness", "seed", "rough"),
    [
        (2, 6, 32, 26, 0.0563),
        (2, 6, 16, 53, 0.3027),
        (2, 6, 24, 70, 0.0127),
        (3, 6, 32, 1, 0.1222),
        (4, 5, 32, 3, 0.6754),
    ],
)
def test_a_language_that_stays_long_in_a_loop_has_the_entropy_of_the_exact_solution(
    letters, order, sharpness, seed, rough
):
    source = SyntheticSource(alphabet_size=letters, order=order, sharpness=sharpness, seed=seed)
    table = synthetic.odds(source)
    found = entropy_rate(table, order)
    assert found == pytest.approx(solved(table, letters), rel=1e-8)
    assert found == pytest.approx(rough, abs=5e-5)


def test_the_largest_table_settles_although_letter_by_letter_it_would_not():
    source = SyntheticSource(alphabet_size=7, order=6, sharpness=32, seed=2)
    assert entropy_rate(synthetic.odds(source), 6) == pytest.approx(0.2922976392, abs=1e-9)


def test_shares_that_do_not_settle_are_one_clear_error(monkeypatch):
    monkeypatch.setattr(markov_entropy, "_MOST_ROUNDS", 1)
    with pytest.raises(VariorumError, match=r"729 contexts do not settle; give another seed"):
        entropy_rate(synthetic.odds(SyntheticSource(alphabet_size=3, order=6)), 6)


def test_the_same_settings_give_the_same_text_and_any_other_seed_another():
    source = SyntheticSource(alphabet_size=5, documents=3, length=50)
    assert text_of(source) == text_of(source)
    assert text_of(source) != text_of(source.model_copy(update={"seed": 2}))


def test_the_text_is_the_one_it_always_was():
    text, entropy = text_of(SyntheticSource(alphabet_size=6, documents=2, length=2000))
    assert (hashlib.sha256(text.encode()).hexdigest()[:16], round(entropy, 8)) == GOLDEN


def test_documents_have_the_length_and_number_that_were_asked_for():
    context = FetchContext(Path(), Path(), (), lambda line: None)
    source = SyntheticSource(alphabet_size=3, documents=7, length=11)
    found = list(synthetic.fetch(source, context))
    assert [len(document.text) for document in found] == [11] * 7
    assert len({document.group for document in found}) == 7
    assert set("".join(document.text for document in found)) <= set("abc")


def test_a_table_of_odds_that_is_too_large_is_refused():
    with pytest.raises(ValueError, match=r"order: 6 with an alphabet of 26 needs .* give less"):
        SyntheticSource(alphabet_size=26, order=6)
