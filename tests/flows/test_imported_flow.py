"""From a GPT-2 of Hugging Face's libraries to a report, by the commands that people give."""

import re
import shutil
from pathlib import Path

import pytest

import flow
import peers
from conftest import Project, add_micro_experiment, copy_project

REPORT = "results/finetune/report.html"


def run_to_report(folder: Path) -> None:
    """Run the micro experiment on a GPT-2 of Hugging Face's to its report."""
    project = copy_project(folder)
    add_micro_experiment(project)
    peers.import_gpt2(project.root)
    dry = project.snakemake("--dry-run", REPORT)
    assert "make_imported" in dry.stdout + dry.stderr
    project.snakemake(REPORT)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """That experiment, run once; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("imported") / "project"
    return Project(flow.made_by_commands(folder, run_to_report))


def test_snakemake_makes_the_report_and_dvc_tracks_the_model(finished: Project) -> None:
    root = finished.root
    assert re.search(
        "were imported from <code[^>]*>models/gpt2</code>", (root / REPORT).read_text()
    )
    made = {path.parents[1].name for path in root.glob("results/*/*/manifest.json")}
    assert "imported" in made
    assert not made & {"tokenizer", "pretrain"}
    finished.share("imported")
    (imported,) = root.glob("results/imported/*.dvc")
    done = finished.snakemake("--dry-run", REPORT)
    assert "Nothing to be done" in done.stdout + done.stderr
    assert "Nothing to be done" in finished.snakemake("imported").stderr
    assert not finished.run("dvc", "status", "--quiet", str(imported.relative_to(root))).stdout


def test_commands_know_the_model(finished: Project, tmp_path: Path) -> None:
    run = finished.run
    assert "models/gpt2" in run("variorum", "ls", "imported").stdout
    assert "all as published" in run("variorum", "verify").stdout
    assert "the leaf" in run("variorum", "sample", "the leaf", "-m", "imported", "-n", "4").stdout
    why = run("variorum", "why", "--config", "finetune={max_steps: 12}").stdout
    assert "finetune.max_steps 10 -> 12" in why
    run("variorum", "model", "export", "finetune", str(tmp_path / "back"))


def test_a_clone_has_the_report_without_the_model_of_theirs_being_read_again(
    finished: Project, tmp_path: Path
) -> None:
    clone = Project(tmp_path / "clone")
    shutil.copytree(finished.root, clone.root, symlinks=True)
    shutil.rmtree(next(clone.root.glob("results/imported/*/")))
    clone.snakemake("--forcerun", "publish_report", REPORT)
    assert not list(clone.root.glob("results/imported/*/manifest.json")), "nothing needs it"
    clone.snakemake("imported")
    assert list(clone.root.glob("results/imported/*/manifest.json")), "out of DVC's cache"


def test_another_model_makes_other_results_beside_the_old(
    finished: Project, tmp_path: Path
) -> None:
    again = Project(tmp_path / "again")
    shutil.copytree(finished.root, again.root, symlinks=True)
    before = (again.root / REPORT).read_bytes()
    texts = [path.read_text() for path in sorted((again.root / "texts/domain").iterdir())]
    peers.save_gpt2(again.root / "models/gpt2", texts, vocab_size=290)
    done = again.snakemake("finetune")
    assert "make_imported" in done.stderr
    assert len(list(again.root.glob("results/imported/*/manifest.json"))) == 2
    assert (again.root / REPORT).read_bytes() == before
