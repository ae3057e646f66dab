"""Differences of code are found where they count, and shown."""

import pytest

from variorum.identity import code_diff

PINS = {
    "variorum.evaluation.bits:score": "def score(x):\n    return log(x) + 1",
    "variorum.evaluation.bits:score: names": "log is math.log",
    "variorum.model.gpt:run": "def run():\n    return 2",
    "evaluation/words.txt": "one\n",
}
MEASURING = ("variorum.stages.evaluate", "variorum.evaluation")


@pytest.mark.parametrize(
    ("symbol", "text", "first"),
    [
        ("variorum.evaluation.bits:score", "def score(x):\n    return log(x) + 2", "bits:score"),
        ("variorum.evaluation.bits:score: names", "log is cmath.log", "bits:score log"),
        ("evaluation/words.txt", "two\n", "evaluation/words.txt"),
        ("variorum.model.gpt:run", "def run():\n    return 3", None),
    ],
)
def test_differences_are_found_where_they_count(symbol: str, text: str, first: str | None) -> None:
    other = {**PINS, symbol: text}
    found = code_diff.first_difference(PINS, other, MEASURING)
    assert (found or "").endswith(first or "")
    assert (found is None) == (first is None)
    lines = code_diff.diff(PINS, other, ("old", "new")).splitlines()
    assert lines[:2] == [f"--- old {symbol}", f"+++ new {symbol}"]
    assert {line[1:] for line in lines[2:] if line[0] == "+"} == {text.splitlines()[-1]}
    assert code_diff.diff(PINS, PINS, ("old", "new")) == ""


def test_comments_and_formatting_are_no_difference() -> None:
    symbol = "variorum.evaluation.bits:score"
    other = {
        **PINS,
        symbol: 'def score(x):\n    """It adds."""\n    return (log(x)\n        + 1)  # one',
    }
    assert code_diff.first_difference(PINS, other, MEASURING) is None
    assert code_diff.diff(PINS, other, ("old", "new")) == ""


def test_what_is_gone_or_new_is_a_difference() -> None:
    symbol = "variorum.evaluation.bits:score"
    less = {name: text for name, text in PINS.items() if name != symbol}
    for sides in ((less, PINS), (PINS, less)):
        assert code_diff.first_difference(*sides, MEASURING) == symbol
        assert symbol in code_diff.diff(*sides, ("old", "new"))
