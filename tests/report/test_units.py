"""Sizes and spans of time as people read them."""

import pytest

from variorum.base import text_tables
from variorum.report import units


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (42.4, "42 s"),
        (99.4, "99 s"),
        (100, "1.7 min"),
        (596, "9.9 min"),
        (600, "10 min"),
        (5900, "98 min"),
        (6000, "1.7 h"),
        (36_000, "10 h"),
        (170_000, "47 h"),
        (172_800, "2.0 d"),
        (90 * 86_400, "90 d"),
    ],
)
def test_spans_of_time_have_two_digits(seconds: float, words: str) -> None:
    assert units.duration(seconds) == words


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(0, "0 B"), (999, "999 B"), (999_600, "1 MB"), (1_254_000, "1.25 MB")]
)
def test_sizes_take_the_unit_that_fits(n_bytes: int, text: str) -> None:
    assert units.size(n_bytes) == text


def test_columns_of_a_text_table_are_aligned_and_markup_is_text() -> None:
    rows = [("[b]é", "4", "a :smile: " + "b" * 300), ("c", "123", "")]
    assert text_tables.table_lines(rows, ("stage", "of", "from"), right=("of",)) == [
        "stage   of  from",
        "[b]é     4  a :smile: " + "b" * 300,
        "c      123",
    ]
