"""Baselines and comparisons of a whole experiment, computed again without the project's code."""

import ast
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from conftest import Said
from flow import finished_project
from oracles import recompute_scores as again

COMPRESSED = {"ppmd_adaptive", "bz2_adaptive", "xz_adaptive", "ppmd_static"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a finished experiment; they are only read."""
    return finished_project(tmp_path_factory.mktemp("recomputed") / "project").root / "results"


@pytest.fixture
def copied(results: Path, tmp_path: Path) -> Path:
    """A copy of what is read of them, to change."""
    target = tmp_path / "results"
    for stage in ("normalize", "baselines", "evaluate", "dynamic", "comparisons"):
        shutil.copytree(results / stage, target / stage)
    return target


@pytest.fixture
def recompute(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the script's command in this process."""

    def run(results: Path, *options: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["recompute_scores.py", str(results), *options])
        with pytest.raises(SystemExit) as end:
            again.main()
        printed = capsys.readouterr()
        return Said(int(end.value.code or 0), printed.out, printed.err)

    return run


def keys(results: Path, stage: str) -> list[str]:
    return sorted(manifest.parent.name for manifest in (results / stage).glob("*/manifest.json"))


def change_a_digit(file: Path, after: str) -> None:
    """Change the fourth digit of the first number behind a text."""
    text = file.read_text(encoding="utf-8")
    pattern = rf"({re.escape(after)}.*?\d\.\d\d)(\d)"
    changed, count = re.subn(
        pattern, lambda m: m[1] + str((int(m[2]) + 1) % 10), text, count=1, flags=re.DOTALL
    )
    assert count
    file.write_text(changed, encoding="utf-8")


def test_everything_stored_is_found_again(results: Path) -> None:
    rows = again.check(results)
    assert not [row for row in rows if not row.equal]
    stages = ("baselines", "evaluate", "dynamic", "comparisons")
    everything = {f"{stage}/{key}" for stage in stages for key in keys(results, stage)}
    assert {row.result for row in rows} == everything
    exact = [row for row in rows if row.what.removeprefix("parts: ") in COMPRESSED]
    assert len(exact) == len(COMPRESSED) * len(keys(results, "baselines"))
    assert all(row.largest == 0 == row.tolerance and row.count == 40 for row in exact)
    for kind in ("static", "adaptive"):
        pairs = [row for row in rows if row.what == f"domain {kind}: pairs"]
        assert [row.count for row in pairs] == [7 * {"static": 5, "adaptive": 7}[kind]]


@pytest.mark.parametrize(
    ("stage", "file", "after", "what"),
    [
        ("baselines", "metrics.json", '"ngram": {', "static ngram: bits_per_byte"),
        ("baselines", "metrics.json", '"effective"', "adaptive bz2: interval"),
        ("baselines", "parts.csv", "block 3,", "parts: ngram_static"),
        ("dynamic", "metrics.json", '"high"', "adaptive: interval"),
        ("evaluate", "metrics.json", '"bits_per_byte"', "static: bits_per_byte"),
        ("comparisons", "comparisons.json", '"pairs"', "base adaptive: pairs"),
    ],
)
def test_a_changed_digit_is_found(
    copied: Path, recompute, stage: str, file: str, after: str, what: str
) -> None:
    key = keys(copied, stage)[0]
    change_a_digit(copied / stage / key / file, after)
    [checked] = [key] if stage == "baselines" else keys(copied, "comparisons")
    said = recompute(copied, "--only", checked)
    assert said.code == 1
    wrong = [line for line in said.out.splitlines() if line.endswith("DIFFERS")]
    assert [line for line in wrong if line.startswith(f"{stage}/{key} ") and what in line]


def test_a_changed_size_of_an_archive_is_found_whatever_it_is(copied: Path, recompute) -> None:
    [key, *_] = keys(copied, "baselines")
    file = copied / "baselines" / key / "parts.csv"
    lines = file.read_text(encoding="utf-8").splitlines()
    cells = lines[1].split(",")
    place = lines[0].split(",").index("xz_adaptive")
    cells[place] = str(float(cells[place]) + 1e-12)
    assert cells[place] != lines[1].split(",")[place]
    lines[1] = ",".join(cells)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    said = recompute(copied, "--only", key)
    wrong = [line for line in said.out.splitlines() if line.endswith("DIFFERS")]
    assert len(wrong) == 1
    assert "parts: xz_adaptive" in wrong[0]
    assert said.code == 1


def test_a_missing_number_is_found(copied: Path, recompute) -> None:
    [key, *_] = keys(copied, "baselines")
    file = copied / "baselines" / key / "metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8"))
    del metrics["static"]["ppmd"]
    file.write_text(json.dumps(metrics), encoding="utf-8")
    assert recompute(copied, "--only", key).code == 1


def test_equal_results_exit_with_nothing_to_say(results: Path, recompute) -> None:
    said = recompute(results, "--only", keys(results, "comparisons")[0])
    assert said.code == 0
    assert "DIFFERS" not in said.out
    assert re.search(r"All \d+ rows are equal\.", said.out)


@pytest.mark.parametrize("order", [2, 6, 64])
def test_copies_of_the_process_tell_the_sizes_of_whole_archives(results: Path, order: int) -> None:
    text = again.Text.read(next((results / "normalize").glob("*/")))
    archive = again.Ppmd(order)
    whole = b"\n\n".join(document.text for document in text.train)
    archive.add(whole[:9000])
    ends = [1, 10, 700, 3000]
    expected = [again.ppmd_archive(order, whole[: 9000 + end]) for end in [0, *ends]]
    assert [archive.size(), *archive.last_sizes(whole[9000:], ends)] == expected


def test_the_script_knows_nothing_of_the_project() -> None:
    tree = ast.parse(Path(again.__file__).read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or ".").split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"numpy", "pyppmd", "scipy"}
