"""Which edits change which keys: the rules that decide daily life with the project."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, Edit, add_micro_experiment, copy_project, other_python
from variorum.plan.experiment import plan_experiment
from variorum.plan.loading import load_experiment

KEYS = """
import json, sys
from pathlib import Path
from variorum.plan.loading import load_experiment, named_experiment
from variorum.plan.ablation_loading import load_ablation
from variorum.plan.experiment import plan_experiment
from variorum.plan.ablation import plan_ablation
root = Path(sys.argv[1])
assert "torch" not in sys.modules and "numpy" not in sys.modules
changes = json.loads(sys.argv[2])
plan = plan_experiment(load_experiment(root, changes), root, offline=True)
print(json.dumps({f"{n.ref.stage} {n.label}": n.ref.key for n in plan}))
from variorum.report.figures.captions import FIGURES
from variorum.snakemake import Flow
flow = Flow(root, changes, dry_run=True)
flow.prepare()
flow.why("report")(type("wildcards", (), {"key": plan.last.ref.key}))
heavy = set(sys.argv[3].split()) & set(sys.modules)
assert not heavy, f"planning imported {heavy}"
"""

HEAVY = "torch numpy pandas matplotlib scipy jinja2 safetensors requests"
"""Libraries that no plan needs, and that take longer to import than a plan takes."""

COMMAND = """
import sys
from variorum.cli import main
heavy = sys.argv.pop().split()
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
found = set(heavy) & set(sys.modules)
assert not found, f"planning imported {found}"
"""

CORPUS = ("download", "normalize", "tokenizer", "encode")


def keys(package: Path, **changes: object) -> dict[str, str]:
    """Key of every node of the tiny experiment, by the code in `package`."""
    loaded = load_experiment(ROOT, {"experiment": "tiny", **changes})
    plan = plan_experiment(loaded, ROOT, offline=True, package=package)
    return {f"{node.ref.stage} {node.label}": node.ref.key for node in plan}


def keys_planned_by(
    package: Path, python: str = sys.executable, site: Path | None = None, **changes: object
) -> dict[str, str]:
    """The same, planned by a fresh interpreter with the package in `package`."""
    path = os.pathsep.join(str(p) for p in (package.parent, *([site] if site else [])))
    settings = json.dumps({"experiment": "tiny", **changes})
    done = subprocess.run(
        [python, "-c", KEYS, str(ROOT), settings, HEAVY],
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Stages of which some key differs."""
    assert before.keys() == after.keys()
    return {name.split()[0] for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    "command", ["config", "plan", "plan reports/positions/table.md", "why", "ls"]
)
def test_commands_that_plan_import_no_heavy_library(tmp_path: Path, command: str) -> None:
    project = copy_project(tmp_path / "project")
    add_micro_experiment(project)
    done = project.run(sys.executable, "-c", COMMAND, *command.split(), HEAVY, check=False)
    assert not done.returncode, done.stderr


COMPARED = {"dynamic", "comparisons", "report"}
AFTER_TRAINING = {"pretrain", "finetune", "evaluate", "stress", "figures", *COMPARED}


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return keys(ROOT / "src/variorum")


def test_a_copy_elsewhere_plans_the_same_keys(package_copy: Path, before: dict[str, str]) -> None:
    assert keys(package_copy) == before
    assert keys_planned_by(package_copy) == before


def test_an_unused_component_and_its_setting_change_no_key(
    package_copy: Path, edit: Edit, before: dict[str, str]
) -> None:
    rotary = package_copy / "model/positions/rotary.py"
    shutil.copy(rotary, rotary.with_name("spiral.py"))
    edit(
        "config/model_settings.py",
        "    dropout: Real = setting(",
        '    spiral_turns: Real = setting(3.0, "Turns.", gt=0, omit_when=3.0)\n'
        "    dropout: Real = setting(",
    )
    assert keys_planned_by(package_copy) == before
    spiral = {"positions": "spiral", "spiral_turns": 4.0}
    chosen = keys_planned_by(package_copy, model=spiral)
    assert changed(before, chosen) == AFTER_TRAINING


def test_editing_rotary_changes_no_key_of_learned_positions(
    package_copy: Path, edit: Edit, before: dict[str, str]
) -> None:
    rotary = keys(package_copy, model={"positions": "rotary"})
    edit("model/positions/rotary.py", "return _turned(", "return 1 * _turned(")
    assert keys(package_copy) == before, "the tiny experiment has learned positions"
    assert changed(rotary, keys(package_copy, model={"positions": "rotary"})) == AFTER_TRAINING


def test_editing_a_comment_or_a_docstring_changes_no_key(
    package_copy: Path, before: dict[str, str]
) -> None:
    for file in package_copy.rglob("*.py"):
        if text := file.read_text():
            file.write_text(text.replace('"""', '"""Edited. ', 1) + "\n\n# an edited comment\n")
    assert keys(package_copy) == before


def test_editing_attention_changes_pretraining_and_what_follows_and_nothing_before(
    package_copy: Path, edit: Edit, before: dict[str, str]
) -> None:
    edit("model/attention.py", "everything.tril", "everything.triu")
    assert changed(before, keys(package_copy)) == AFTER_TRAINING


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("corpus/sources/python_package.py", {*CORPUS, "baselines", *AFTER_TRAINING}),
        ("corpus/sources/url.py", set()),
        ("corpus/normalize.py", {*CORPUS[1:], "baselines", *AFTER_TRAINING}),
        ("tokenizer/kinds/bpe.py", {*CORPUS[2:], *AFTER_TRAINING}),
        ("tokenizer/kinds/characters.py", set()),
        ("model/feed_forwards/gelu.py", AFTER_TRAINING),
        ("model/feed_forwards/swiglu.py", set()),
        ("training/optimizers/muon.py", set()),
        ("training/batch_orders/permutation.py", set()),
        ("corpus/tokenfile.py", {"encode", *AFTER_TRAINING}),
        ("training/optimizers/adamw.py", AFTER_TRAINING),
        ("training/loop.py", AFTER_TRAINING),
        ("evaluation/bits.py", {"evaluate", "stress", "figures", *COMPARED}),
        ("evaluation/stress/catalogue.py", {"stress", "report"}),
        ("evaluation/dynamic.py", COMPARED),
        ("evaluation/compressors.py", {"baselines", "comparisons", "report"}),
        ("report/figures/attention_weights.py", {"figures", "report"}),
        ("report/figures/variants.py", set()),
        ("report/page.py", {"report"}),
        ("model/gpt2.py", set()),
        ("training/plain.py", set()),
        ("store/store.py", set()),
        ("plan/experiment.py", set()),
        ("base/progress.py", set()),
        ("cli/app.py", set()),
        ("base/machine.py", set()),
    ],
)
def test_an_edit_reaches_just_the_stages_that_run_it(
    package_copy: Path, before: dict[str, str], file: str, stages: set[str]
) -> None:
    path = package_copy / file
    path.write_text(path.read_text() + "\nprint('a statement that runs on import')\n")
    assert changed(before, keys(package_copy)) == stages


def test_editing_the_pages_template_changes_the_report_alone(
    package_copy: Path, before: dict[str, str]
) -> None:
    for name in ("report.html.j2", "report.css", "page.css"):
        path = package_copy / "report/templates" / name
        path.write_text(path.read_text() + "\n")
        after = keys(package_copy)
        assert changed(before, after) == {"report"}
        before = after


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        (
            {"finetune": {"learning_rate": 1e-4, "min_learning_rate": 1e-5}},
            {"finetune", "evaluate", "stress", "figures", *COMPARED},
        ),
        ({"seed": 2}, AFTER_TRAINING),
        ({"evaluate": {"stride": 8}}, {"evaluate", "comparisons", "figures", "report"}),
        ({"dynamic": {"segment": 8}}, COMPARED),
        ({"baselines": {"most_ngram_order": 2}}, {"baselines", "comparisons", "report"}),
        ({"title": "Another"}, {"report"}),
        ({"tokenizer": {"vocab_size": 600}}, {"tokenizer", "encode", *AFTER_TRAINING}),
        ({"model": {"rotary_base": 10000.0}}, {"report"}),
    ],
)
def test_a_setting_reaches_just_the_stages_that_read_it(
    before: dict[str, str], package_copy: Path, changes: dict[str, object], stages: set[str]
) -> None:
    assert changed(before, keys(package_copy, **changes)) == stages


NEEDED = (
    *("pydantic", "pydantic-core", "annotated-types", "typing-extensions", "typing-inspection"),
    *("ruamel-yaml", "ftfy", "wcwidth", "markupsafe"),
)
"""The libraries that a plan needs."""


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_other_pythons_plan_the_same_keys(
    package_copy: Path, before: dict[str, str], version: str, tmp_path: Path
) -> None:
    python = other_python(version)
    site = tmp_path / "site"
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    needed = [line for line in lock if line.split("==")[0] in NEEDED]
    options = ["--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps"]
    done = subprocess.run(
        [python, "-m", "pip", "install", *options, "--target", str(site), *needed],
        capture_output=True,
        text=True,
        check=False,
    )
    if "connection broken by" in done.stderr:
        pytest.skip(f"there is no network, so python{version} got no libraries to plan with")
    assert not done.returncode, done.stderr
    assert keys_planned_by(package_copy, python, site) == before
