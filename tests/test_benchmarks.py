"""Benchmarks that no other test runs still run."""

import sys
from pathlib import Path

import pytest

from conftest import ROOT


def test_the_memory_of_every_stage_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import memory

    table, figure = tmp_path / "peaks.csv", tmp_path / "memory.svg"
    options = ["0.1", "--shapes", "rows", "--table", str(table), "--figure", str(figure)]
    monkeypatch.setattr(sys, "argv", ["memory.py", *options])
    memory.main()
    rows = memory.kept(table)
    assert [row.stage for row in rows] == list(memory.STAGES)
    assert all(row.found.peak >= row.found.start > 10_000_000 for row in rows)
    assert [row.line for row in rows] == capsys.readouterr().out.splitlines()[1:]
    assert "memory" in figure.read_text(encoding="utf-8")
