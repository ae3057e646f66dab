"""What another state of the code makes: by Snakemake, and what the commands say of it."""

import re
import shutil
from pathlib import Path

import pytest

import flow
from conftest import Command, Project
from edited_code import VARIANTS, commit, of, planned, ready_for_other_code
from variorum.base.project import CODE_VERSIONS
from variorum.plan.ablation import DIFFS
from variorum.plan.ablation_loading import load_ablation
from variorum.store.store import Store

SAID = "said.txt"
"""What the last command printed."""


def make_table(folder: Path) -> None:
    """Have Snakemake make its table, where nothing that was finished runs again, and verify it."""
    project = ready_for_other_code(folder)
    store = Store(project.root)
    finished = {ref: store.folder(ref).stat().st_mtime_ns for ref in store.refs()}
    assert finished
    project.snakemake("reports/edit/table.md")
    assert {ref: store.folder(ref).stat().st_mtime_ns for ref in finished} == finished
    refs = [of(planned(project), "other", part).ref for part in ("model", "base")]
    done = project.run("variorum", "verify", "--rerun", *map(str, refs))
    assert not (folder / "scratch/rerun").exists()
    (folder / SAID).write_text(done.stdout)


def compare(folder: Path) -> None:
    """Have `variorum compare` compare the branch with the code here, after that."""
    project = Project(flow.made_by_commands(folder, make_table))
    done = project.run("variorum", "compare", "edited", "--seeds", "2", "--cores", "2")
    (folder / SAID).write_text(done.stdout)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with an edit on a branch, and the table that compares it."""
    folder = tmp_path_factory.mktemp("made") / "project"
    return Project(flow.made_by_commands(folder, make_table))


def test_snakemake_runs_the_other_code_for_what_is_its_own(made: Project) -> None:
    plan, store = planned(made), Store(made.root)
    assert {node.ref for node in plan} == set(store.refs())
    for seed in (1, 2):
        model, base = (store.open(plan.last.upstream[f"{v}/{seed}/model"].ref) for v in VARIANTS)
        assert "scale=0.5" in model.code["variorum.model.attentions.fused:attend"]
        assert "scale=0.5" not in base.code["variorum.model.attentions.fused:attend"]
        digests = [r.manifest["files"]["model.safetensors"]["sha256"] for r in (model, base)]
        assert digests[0] != digests[1]
    folder = made.root / "reports/edit"
    assert (folder / "other.diff").read_text() == plan.last.notes[DIFFS]["other"]
    assert "[other.diff](other.diff): what its code changes" in (folder / "table.md").read_text()
    codes = (folder / "codes.csv").read_text()
    assert codes.splitlines()[0] == "variant,code"
    assert codes.splitlines()[1].startswith('other,"edited, commit ')
    assert '<a href="other.diff">' in (folder / "table.html").read_text()
    again = made.snakemake("reports/edit/table.md")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_what_other_code_made_is_verified_and_made_again_by_it(made: Project) -> None:
    refs = [of(planned(made), "other", part).ref for part in ("model", "base")]
    said = (made.root / SAID).read_text()
    assert said.count("identical (") == 2
    assert said.count("made by the code edited, commit ") == 2
    assert "all as published" in made.run("variorum", "verify", *map(str, refs)).stdout


@pytest.fixture
def here(made: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That project, as the working directory."""
    monkeypatch.chdir(made.root)
    return made.root


def test_why_shows_the_edit(here: Path, variorum: Command) -> None:
    assert "+        scale=0.5," in variorum("why", "edit/other/1").out


def test_a_model_that_other_code_trained_says_so_when_it_writes(
    here: Path, variorum: Command
) -> None:
    other, present = (
        variorum("sample", "the", "-m", f"edit/{variant}/1", "-n", "4").err for variant in VARIANTS
    )
    assert "variorum.model.attentions.fused:attend was edited after the training" in other
    assert "was another" not in present


def test_what_is_planned_with_other_code_is_adopted_from_that_code_alone(
    made: Project, here: Path, variorum: Command
) -> None:
    model = of(planned(made), "other").ref
    shutil.copytree(made.root / "results", made.root / "kept")
    shutil.rmtree(Store(made.root).folder(model))
    try:
        said = variorum("adopt", "edit/other", "--because", "I say so")
        assert said.code == 1
        assert "it is to be made by edited, commit" in said.err
    finally:
        shutil.rmtree(made.root / "results")
        (made.root / "kept").rename(made.root / "results")


def test_gc_keeps_what_a_code_variant_needs_and_the_code_that_it_runs(made: Project) -> None:
    commit(made)
    stale = made.root / CODE_VERSIONS / "0123"
    stale.mkdir()
    done = made.run("variorum", "gc", "--force")
    assert "0 results and" in done.stdout
    removed = [line for line in done.stdout.splitlines() if CODE_VERSIONS in line]
    assert len(removed) == 1, removed
    assert f"{CODE_VERSIONS}/0123 " in removed[0]


def test_compare_writes_an_ablation_runs_it_and_tells_what_it_shows(
    made: Project, tmp_path: Path
) -> None:
    results = set(Store(made.root).refs())
    made = Project(flow.made_by_commands(tmp_path / "project", compare))
    first, *findings, last = (made.root / SAID).read_text().splitlines()
    assert first.startswith("config/ablations/compare-edited.yaml is new")
    assert findings[0].startswith("On the base test text, ")
    assert re.search(r"\bhere\b.*\bedited\b", findings[0])
    assert last == "reports/compare-edited/table.md"
    new = set(Store(made.root).refs()) - results
    assert {ref.stage for ref in new} == {"table"}, "its runs are the other ablation's"
    loaded = load_ablation(made.root, "compare-edited")
    assert loaded.settings.baseline == "edited"
    assert loaded.settings.experiment == "micro"
    assert loaded.settings.seeds == (1, 2)
    folder = made.root / "reports/compare-edited"
    assert "-        scale=0.5," in (folder / "here.diff").read_text()
    assert not (folder / "edited.diff").exists()
