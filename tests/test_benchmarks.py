"""Benchmarks that no other test runs still run."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from conftest import ROOT, measured


@pytest.fixture(name="memory")
def benchmark_of_memory(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import memory

    return memory


def test_the_memory_of_every_stage_is_measured(
    memory: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table, figure = tmp_path / "peaks.csv", tmp_path / "memory.svg"
    options = ["0.1", "--shapes", "rows", "--table", str(table), "--figure", str(figure)]
    monkeypatch.setattr(sys, "argv", ["memory.py", *options])
    memory.main()
    rows = memory.kept(table)
    assert [row.stage for row in rows] == list(memory.STAGES)
    assert all(row.found.peak >= row.found.start > 10_000_000 for row in rows)
    assert [row.line for row in rows] == capsys.readouterr().out.splitlines()[1:]
    assert "memory" in figure.read_text(encoding="utf-8")


def test_a_larger_text_that_is_read_whole_shows_in_the_peak(memory: ModuleType) -> None:
    """Files are read whole. What holds these tests must not hide what is measured."""
    (small,), (large,) = (memory.rows_of("one text", mb, ["download"]) for mb in (0.1, 16))
    assert large.found.peak - small.found.peak > 16_000_000


MOMENT = """
from peak_memory import peak_memory
before = peak_memory()
len(b"x" * 50_000_000)
print(peak_memory() - before)
"""


def test_memory_that_is_held_for_a_moment_shows_in_the_peak() -> None:
    own = b"x" * 200_000_000  # with which the resources of a child begin
    assert 49_000_000 < int(measured(MOMENT)) < 60_000_000
    del own


def test_no_peak_begins_with_the_memory_of_a_parent() -> None:
    folders = (ROOT / "benchmarks", ROOT / "tests", ROOT / "src")
    files = (file for folder in folders for file in folder.rglob("*.py"))
    name = "ru_" + "maxrss"
    assert not [file for file in files if name in file.read_text(encoding="utf-8")]
