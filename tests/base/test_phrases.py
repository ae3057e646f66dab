"""Lists and counts in sentences."""

import pytest

from variorum.base.phrases import counted, listed


@pytest.mark.parametrize(
    ("names", "said"),
    [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_names_are_listed_as_people_do(names: list[str], said: str) -> None:
    assert listed(iter(names)) == said


def test_a_count_has_its_noun() -> None:
    assert [counted(n, "result") for n in (0, 1, 2)] == ["0 results", "1 result", "2 results"]
    assert counted(1200, "byte") == "1,200 bytes"
    assert [counted(n, "copy", "copies") for n in (1, 2)] == ["1 copy", "2 copies"]
