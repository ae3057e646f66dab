"""A new stage is a file and its rule, and a new metric an entry: whole flows have them."""

import json
import os
import re
from pathlib import Path

import flow
from conftest import ROOT, Project, add_micro_experiment, copy_project
from edited_code import edit

STAGE = '''"""wordcount: how many words each part of a corpus has."""

import json

from variorum.config.types import Settings
from variorum.corpus import documents
from variorum.stages.stage import Input, Stage
from variorum.stages.task import Task


class WordcountStage(Settings):
    """There is nothing to choose."""


STAGE = Stage(
    WordcountStage,
    products=("words.json",),
    per=("corpus",),
    inputs={"text": Input(("normalize",))},
)


def run(task: Task) -> None:
    """Write `words.json`."""
    texts = documents.read(task.inputs["text"].file("train.jsonl"))
    words = sum(len(document.text.split()) for document in texts)
    (task.output / "words.json").write_text(json.dumps({"train": words}) + "\\n")
'''

RULE = """

use rule make_encode as make_wordcount with:
    input:
        flow.needs("wordcount"),
    output:
        "results/wordcount/{key}/manifest.json",
    log:
        "logs/wordcount/{key}.log",
    resources:
        **STAGES["wordcount"].resources.reserved,
    params:
        stage="wordcount",
        label=flow.label("wordcount"),
        why=flow.why("wordcount"),


rule wordcount:
    input:
        flow.results("wordcount"),
"""


LAST = "from pathlib import Path\nfrom flow import current\nprint(current(Path('.')).last.ref)"


def make_with_a_stage_more(folder: Path) -> None:
    """Plan, make, list and verify what a new stage makes, and keep what is said of it."""
    micro = copy_project(folder)
    add_micro_experiment(micro)
    path = {"PYTHONPATH": str(micro.root / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    (micro.root / "src/variorum/stages/wordcount.py").write_text(STAGE, encoding="utf-8")
    rules = micro.root / "workflow/rules/corpus.smk"
    rules.write_text(rules.read_text(encoding="utf-8") + RULE, encoding="utf-8")
    planned = micro.run("snakemake", "-n", "wordcount", environment=path).stdout
    micro.run("snakemake", "--cores", "2", "wordcount", environment=path)
    listed = micro.run("variorum", "ls", "wordcount", environment=path).stdout
    ref = f"wordcount/{words_made(folder)[0].parent.name}"
    micro.run("variorum", "verify", ref, environment=path)
    micro.run("variorum", "verify", ref, "--rerun", environment=path)
    path["PYTHONPATH"] += f"{os.pathsep}{ROOT / 'tests'}"
    shown = micro.run("python", "-c", LAST, environment=path).stdout
    told = {"planned": planned, "listed": listed, "shown": shown}
    (folder / "said.json").write_text(json.dumps(told), encoding="utf-8")


def words_made(root: Path) -> list[Path]:
    return sorted((root / "results/wordcount").glob("*/words.json"))


def test_a_file_and_its_rule_add_a_stage(micro: Project, tmp_path: Path) -> None:
    root = flow.made_by_commands(tmp_path / "made", make_with_a_stage_more)
    told = json.loads((root / "said.json").read_text(encoding="utf-8"))
    assert "make_wordcount" in told["planned"]
    made = words_made(root)
    assert [set(json.loads(file.read_text())) for file in made] == [{"train"}, {"train"}]
    assert all(file.parent.name in told["listed"] for file in made)
    page = flow.current(micro.root).last.ref
    assert told["shown"].split() == [str(page)], "a new stage changes no key of others"


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


def make_with_a_metric_more(root: Path) -> None:
    """Have a copy of the package, with one more entry, make a report and an ablation's table."""
    project = copy_project(root)
    add_micro_experiment(project)
    edit(project, "evaluation/metrics.py", ")\n\nMETRICS", ENTRY)
    before = '        "reliability": [asdict(each) for each in bins],\n'
    edit(project, "stages/evaluate.py", before, before + COMPUTED)
    asked = flow.POSITIONS + "metric: worst_token\n"
    (root / "config/ablations/positions.yaml").write_text(asked, encoding="utf-8")
    path = {"PYTHONPATH": os.pathsep.join([str(root / "src"), str(ROOT / "tests")])}
    done = project.run("python", "-c", MADE_BY_THE_COPY, str(root), environment=path)
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
