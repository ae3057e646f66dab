"""Benchmarks that no other test runs still run."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

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


@pytest.fixture(name="bench")
def all_areas(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    import bench

    return bench


def test_sides_take_turns_and_ratios_are_of_one_round(bench: ModuleType) -> None:
    order: list[str] = []

    def side(name: str, speeds: list[float]) -> Callable[[], float]:
        def run() -> float:
            order.append(name)
            return speeds.pop(0)

        return run

    contest = side_by_side(bench).Contest(
        "work", "tokens/s", side("ours", [2.0, 6.0, 8.0]), side("peer", [1.0, 2.0, 8.0]), "a peer"
    )
    found = side_by_side(bench).measured(contest, 3)
    assert order == ["ours", "peer", "peer", "ours", "ours", "peer"]
    assert (found.ratio.least, found.ratio.median, found.ratio.most) == (1.0, 2.0, 3.0)
    assert (found.ours.median, found.peer.median) == (6.0, 2.0)


def test_the_report_on_speed_has_its_figures_its_bars_and_what_was_missing(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def contests() -> Iterator[object]:
        area = side_by_side(bench)
        yield area.Contest("some work", "MB/s", lambda: 3.0, lambda: 2.0, "a peer", 1.2, 9.0)
        yield area.Absent("another peer", "install it")

    module = ModuleType("text")
    monkeypatch.setattr(module, "contests", contests, raising=False)
    monkeypatch.setitem(sys.modules, "text", module)
    folder = tmp_path / "speed"
    monkeypatch.setattr(sys, "argv", ["bench.py", "text", "--output", str(folder)])
    bench.main()
    assert "another peer; install it" in capsys.readouterr().err
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert "| some work | MB/s | 3 | 2 | a peer | 1.50 | 1.50 | 1.50 | 1.2 | 9 |" in table
    assert "Missing: another peer; install it." in table
    assert "some work" in (folder / "speed.svg").read_text(encoding="utf-8")
    about = json.loads((folder / "speed.json").read_text(encoding="utf-8"))
    for name, digest in about["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def side_by_side(bench: ModuleType) -> ModuleType:
    return sys.modules[bench.Result.__module__]


def test_both_sides_of_a_training_take_steps(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a folder of tests has this name as well
    spec = spec_from_file_location("training_speed", ROOT / "benchmarks/training.py")
    assert spec is not None
    assert spec.loader is not None
    training = module_from_spec(spec)
    spec.loader.exec_module(training)
    assert "training" in bench.AREAS
    for name, value in {"STEPS": 12, "LAYERS": 1, "WIDTH": 16, "CONTEXT": 8}.items():
        monkeypatch.setattr(training, name, value)
    for seconds in (training.our_steps("modern, fp32"), training.steps_of_transformers()):
        assert len(seconds) == 12
        assert min(seconds) > 0
