"""Counts in sentences."""

from variorum.base.counts import counted


def test_a_count_has_its_noun() -> None:
    assert [counted(n, "result") for n in (0, 1, 2)] == ["0 results", "1 result", "2 results"]
    assert counted(1200, "byte") == "1,200 bytes"
    assert [counted(n, "copy", "copies") for n in (1, 2)] == ["1 copy", "2 copies"]
