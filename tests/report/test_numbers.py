"""How numbers are written."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from variorum.report import numbers


def test_numbers_read_as_people_write_them():
    assert numbers.fixed(1.23456) == "1.235"
    assert numbers.fixed(-1.23456) == "−1.235"
    assert numbers.signed(0.5, 1) == "+0.5"
    assert numbers.signed(-0.5, 1) == "−0.5"
    assert numbers.count(1234567) == "1\u202f234\u202f567"
    assert numbers.percent(0.256, 1) == "25.6\u00a0%"
    assert numbers.significant(0.00031) == "0.00031"


@pytest.mark.parametrize("write", [numbers.fixed, numbers.signed])
def test_nothing_is_minus_zero(write):
    assert write(-1e-9) == "0.000"
    assert write(-0.0) == "0.000"


def test_the_sign_of_what_is_nearly_zero_is_seen():
    assert numbers.fixed(-0.0001) == "0.000"
    assert numbers.signed(-0.00013) == "−0.0001"
    assert numbers.signed(0.0000012) == "+0.000001"


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_254_000, "1.25 MB"), (3 * 10**12, "3 TB")],
)
def test_sizes_take_the_unit_that_fits(n_bytes, text):
    assert numbers.size(n_bytes) == text.replace(" ", "\u00a0")


@given(st.integers(0, 999 * 10**12))
@example(999_600)
@example(999_999)
@example(999_999_999)
def test_a_size_is_three_plain_digits_and_half_a_percent_off_at_most(n_bytes):
    digits, unit = numbers.size(n_bytes).split("\u00a0")
    assert re.fullmatch(r"\d{1,3}(\.\d{1,2})?", digits)
    assert float(digits) * 1000 ** ("B", "kB", "MB", "GB", "TB").index(unit) == pytest.approx(
        n_bytes, rel=0.005
    )
