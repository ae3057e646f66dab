"""The committed tables: every number in them follows from runs that a manifest vouches for."""

import hashlib
import json
import random
import re
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, Record
from variorum.identity.spec import Spec
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.report.ablation.overview import overview
from variorum.report.ablation.runs import read_csv
from variorum.report.ablation.text_baselines import read_csv as read_baselines
from variorum.report.claims import legend
from variorum.stages.table import CAPTIONS, placed, written_files

REPORTS = ROOT / "reports"
CHANGES = 12  # digits that are changed in each file, one at a time


def committed(pattern: str) -> list[Path]:
    """What matches and is committed, sorted; outside of git, what is there. More may be tried."""
    command = ["git", "ls-files", "-z", "config/ablations", "reports"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    tracked = None if listed.returncode else set(listed.stdout.split("\0"))
    found = sorted(ROOT.glob(pattern))
    return [f for f in found if tracked is None or f.relative_to(ROOT).as_posix() in tracked]


NAMES = [manifest.parent.name for manifest in committed("reports/*/manifest.json")]


def faults(folder: Path) -> list[str]:
    """What is wrong with a committed table: files that its manifest, or its runs, belie."""
    manifest = json.loads((folder / "manifest.json").read_text())
    found = []
    if Spec.from_data(manifest["spec"]).ref.key != manifest["key"]:
        found.append("manifest.json has another key than its spec")
    pages = {name: entry for name, entry in manifest["files"].items() if "/" not in name}
    for name, entry in pages.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != entry["sha256"]:
            found.append(f"{name} is not what the manifest lists")
    drawn = {n: (folder / f"{n}.svg").read_text() for n in CAPTIONS if f"{n}.svg" in pages}
    for name, text in written_files(placed(folder), drawn).items():
        if (folder / name).read_text(encoding="utf-8") != text:
            found.append(f"{name} does not follow from runs.csv")
    return found


def test_every_ablation_of_the_project_has_its_table_and_no_table_is_left_over() -> None:
    assert [file.stem for file in committed("config/ablations/*.yaml")] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_a_committed_table_follows_from_runs_under_a_manifest(
    name: str, record_property: Record
) -> None:
    assert faults(REPORTS / name) == []
    numbers = sum(
        len(re.findall(r"\d+(?:\.\d+)?", (REPORTS / name / file).read_text(encoding="utf-8")))
        for file in ("table.md", "table.csv", "runs.csv", "baselines.csv")
    )
    record_property(f"numbers of {name} that were traced", numbers)


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_table_answers_the_question_of_its_file(name: str) -> None:
    manifest = json.loads((REPORTS / name / "manifest.json").read_text())
    asked = plan_ablation(load_ablation(ROOT, name), ROOT, offline=True).last.spec.settings
    assert manifest["spec"]["settings"] == asked


@pytest.mark.parametrize("name", NAMES)
def test_every_run_of_a_committed_table_is_one_that_its_manifest_was_made_from(name: str) -> None:
    folder = REPORTS / name
    manifest = json.loads((folder / "manifest.json").read_text())
    upstream = set(manifest["spec"]["upstream"].values())
    for run in read_csv((folder / "runs.csv").read_text(encoding="utf-8")):
        assert {run.key, *(run.evaluations or {}).values()} <= upstream
    baselines = read_baselines((folder / "baselines.csv").read_text(encoding="utf-8"))
    assert {each.corpus for each in baselines} == set(manifest["spec"]["settings"]["corpora"])
    assert {each.result for each in baselines} <= upstream


@pytest.mark.parametrize("name", NAMES)
def test_one_changed_digit_is_found(name: str, tmp_path: Path) -> None:
    originals = {file.name: file.read_bytes() for file in (REPORTS / name).iterdir()}
    listed = json.loads(originals["manifest.json"])["files"]
    drawn = random.Random(name)
    for file, content in originals.items():
        if file not in listed:  # what may differ each time, and the list itself
            continue
        places = [place for place, byte in enumerate(content) if byte in b"0123456789"]
        for place in drawn.sample(places, min(CHANGES, len(places))):
            for other, kept in originals.items():
                (tmp_path / other).write_bytes(kept)
            digit = b"%d" % ((int(content[place : place + 1]) + 1) % 10)
            (tmp_path / file).write_bytes(content[:place] + digit + content[place + 1 :])
            assert is_found(tmp_path), f"{file}, byte {place}"


def is_found(folder: Path) -> bool:
    try:
        return bool(faults(folder))
    except (ValueError, KeyError):  # no longer JSON, or no longer a table
        return True


def test_the_readme_of_reports_quotes_what_they_show() -> None:
    text = (REPORTS / "README.md").read_text(encoding="utf-8")
    tables = {name: placed(REPORTS / name) for name in NAMES}
    assert quoted(text, "overview") == overview(tables).strip()
    for name in ("docstrings", "shakespeare"):
        findings = REPORTS / "experiments" / name / "findings.md"
        assert quoted(text, name) == findings.read_text(encoding="utf-8").strip()
    assert {table.question.margin for table in tables.values()} == {0.02}
    assert legend("0.02 bits per byte") in " ".join(text.split())


def quoted(text: str, name: str) -> str:
    """What stands between two marks of a page."""
    return text.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0].strip()
