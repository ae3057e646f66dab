"""Lists in sentences."""

import pytest

from variorum.report.phrases import listed


@pytest.mark.parametrize(
    ("names", "said"),
    [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_names_are_listed_as_people_do(names: list[str], said: str) -> None:
    assert listed(iter(names)) == said
