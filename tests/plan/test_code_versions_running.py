"""What another state of the code makes, by Snakemake and by `variorum`."""

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from edited_code import (
    EDIT,
    FUSED,
    VARIANTS,
    ask_for,
    commit,
    of,
    on_branch,
    planned,
)

import flow
from conftest import Command, Project, add_micro_experiment, copy_project
from variorum.identity.spec import Ref
from variorum.plan import code_versions
from variorum.plan.ablation import DIFFS
from variorum.plan.ablation_loading import load_ablation
from variorum.run import runner
from variorum.store.store import Store

SAID = "said.txt"
"""What the last command printed."""


def make_ready(folder: Path) -> Project:
    """Finish all that the present code makes of an ablation of which one variant is edited."""
    project = copy_project(folder)
    add_micro_experiment(project, domain=False)
    commit(project)
    on_branch(project, FUSED, *EDIT)
    ask_for(project, "edited")
    for node in planned(project):
        if not node.version and node.ref.stage != "table":
            flow.made_once(project.root, node)
    return project


def make_table(folder: Path) -> None:
    """Have Snakemake make its table, where nothing that was finished runs again, and verify it."""
    project = make_ready(folder)
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
def ready(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with an edit on a branch, where all that the present code makes is finished."""
    return make_ready(tmp_path_factory.mktemp("ready") / "project")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same, with the table."""
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
    stale = made.root / code_versions.FOLDER / "0123"
    stale.mkdir()
    done = made.run("variorum", "gc", "--force")
    assert "0 results and" in done.stdout
    removed = [line for line in done.stdout.splitlines() if code_versions.FOLDER in line]
    assert len(removed) == 1, removed
    assert f"{code_versions.FOLDER}/0123 " in removed[0]


PAST_FIRST = re.compile(r"step [1-9][\d,]*:")
"""What a training's log says after some steps; one that resumes may be past any."""


class Training:
    """`variorum run` of a result that another code version makes."""

    def __init__(self, project: Project, ref: Ref) -> None:
        self.project, self.ref, self.store = project, ref, Store(project.root)
        self.log = project.root / "log"

    def start(self) -> "subprocess.Popen[str]":
        """Start it and wait for its first steps."""
        process = subprocess.Popen(
            ["variorum", "run", str(self.ref), "--checkpoint-seconds", "0.1", "--log", "log"],
            cwd=self.project.root,
            env=self.project.environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        while not PAST_FIRST.search(self.log.read_text() if self.log.is_file() else ""):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        return process

    def is_locked(self) -> bool:
        """Whether a process makes it."""
        asked: list[bool] = []

        def note() -> None:
            asked.append(True)
            raise InterruptedError

        try:
            with self.store.locked(self.ref, note):
                return False
        except InterruptedError:
            return True


@pytest.fixture
def training(ready: Project, tmp_path: Path) -> Training:
    """A training by the other code, handed over."""
    project = Project(tmp_path / "project")
    shutil.copytree(ready.root, project.root)
    micro = project.root / "config/experiments/micro.yaml"
    micro.write_text(micro.read_text().replace("max_steps: 30", "max_steps: 30000"))
    node = of(planned(project), "other")
    assert node.version is not None
    node.version.put_in_place()
    for needed in node.upstream.values():
        flow.made_once(project.root, needed)
    runner.submit(Store(project.root), node.spec, node.label, node.version.package)
    return Training(project, node.ref)


def test_one_process_runs_the_other_code_so_that_signals_and_kills_reach_it(
    training: Training,
) -> None:
    process = training.start()
    environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    assert any(
        code_versions.FOLDER.encode() in each for each in environment if b"PYTHONPATH=" in each
    )
    assert training.is_locked()
    process.kill()
    process.communicate()
    assert not training.is_locked(), "its lock went with it"
    training.log.unlink()
    process = training.start()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped" in said
    state = training.store.scratch(training.ref) / "state.safetensors"
    assert state.is_file(), "the same command resumes"


def test_a_code_version_that_is_gone_is_named(training: Training) -> None:
    shutil.rmtree(training.project.root / code_versions.FOLDER)
    done = training.project.run("variorum", "run", str(training.ref), check=False)
    assert done.returncode == 1
    assert "which is gone; run the same `snakemake` command again" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_other_code_refuses_a_key_that_is_not_its_own(training: Training) -> None:
    folder = next((training.project.root / code_versions.FOLDER).iterdir())
    package = folder / code_versions.INSIDE
    (package / FUSED).write_text((package / FUSED).read_text().replace("0.5", "0.6"))
    done = training.project.run("variorum", "run", str(training.ref), check=False)
    assert "the code of pretrain was edited after" in done.stderr


def test_compare_writes_an_ablation_runs_it_and_tells_what_it_shows(
    made: Project, tmp_path: Path
) -> None:
    results = set(Store(made.root).refs())
    made = Project(flow.made_by_commands(tmp_path / "project", compare))
    first, *findings, last = (made.root / SAID).read_text().splitlines()
    assert first.startswith("config/ablations/compare-edited.yaml is new")
    assert findings[0].startswith("On the base test text, ")
    assert "here (" in findings[0]
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
