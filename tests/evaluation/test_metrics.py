"""A metric is one entry: settings, tables, the page and `runs()` find it there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flow
from conftest import ROOT, add_micro_experiment, copy_project
from variorum.evaluation.metrics import HEADLINE, METRICS
from variorum.report.traced import WAYS

ENTRY = """    Metric("worst_token", "lower", "nats", "token", "nats of the worst token",
        way="fixed 1"),
)

METRICS"""
COMPUTED = '        "worst_token": float(scores.nats.max()),\n'

MADE_BY_THE_COPY = """
import json, sys
from pathlib import Path
import flow, variorum
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import load_ablation
from variorum.store.store import Store

root = Path(sys.argv[1])
assert str(root) in variorum.__file__
report = flow.current(root)
flow.finish(root, report)
table = plan_ablation(load_ablation(root, "positions"), root)
flow.finish(root, table)
store, runs = Store(root), variorum.runs(root=root)
evaluation = store.open(report.of_stage("evaluate")[0].ref)
print(json.dumps({
    "worst": evaluation.json("metrics.json")["worst_token"],
    "page": store.open(report.last.ref).file("report.html").read_text(),
    "table": store.open(table.last.ref).file("table.md").read_text(),
    "runs": [float(x) for name in runs if name.startswith("worst_token_") for x in runs[name]],
}))
"""


SHOWN = "shown.json"
"""What the copy shows of the metric."""


def edited(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    file.write_text(text.replace(old, new), encoding="utf-8")


def make_with_a_metric_more(root: Path) -> None:
    """Have a copy of the package, with one more entry, make a report and an ablation's table."""
    add_micro_experiment(copy_project(root))
    package = root / "src/variorum"
    edited(package / "evaluation/metrics.py", ")\n\nMETRICS", ENTRY)
    before = '        "reliability": [asdict(each) for each in bins],\n'
    edited(package / "stages/evaluate.py", before, before + COMPUTED)
    asked = flow.POSITIONS + "metric: worst_token\n"
    (root / "config/ablations/positions.yaml").write_text(asked, encoding="utf-8")

    places = [str(root / "src"), str(ROOT / "tests")]
    command = [sys.executable, "-c", MADE_BY_THE_COPY, str(root)]
    done = subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (root / SHOWN).write_text(done.stdout.splitlines()[-1], encoding="utf-8")


def test_a_metric_that_is_added_is_in_settings_tables_page_and_runs(tmp_path: Path) -> None:
    root = flow.made_by_commands(tmp_path / "project", make_with_a_metric_more)
    made = json.loads((root / SHOWN).read_text(encoding="utf-8"))
    assert "| mean nats of the worst token |" in made["table"]
    assert '<th class="number">nats of the worst token</th>' in made["page"]
    assert re.search(
        rf'<data value="{made["worst"]}" data-from="evaluate/\w+/metrics.json#/worst_token" '
        rf'data-as="fixed 1">{made["worst"]:.1f}</data>',
        made["page"],
    )
    assert made["worst"] in made["runs"]


@pytest.mark.parametrize("name", METRICS)
def test_an_entry_says_how_it_is_shown(name: str) -> None:
    metric = METRICS[name]
    assert metric.way.split()[0] in WAYS
    assert metric.name == name
    assert metric.label
    assert metric.unit


def test_the_headline_is_a_metric_that_no_tokenizer_changes() -> None:
    assert HEADLINE.per == "byte"


def test_no_list_of_metrics_stands_anywhere_else() -> None:
    names = [name for name in METRICS if name != HEADLINE.name]
    for path in (ROOT / "src/variorum").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found = [name for name in names if f'"{name}"' in text]
        computes = path.name in ("metrics.py", "evaluate.py", "bits.py")
        assert computes or len(found) < 2, f"{path} names {', '.join(found)}"
