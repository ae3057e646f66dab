"""Looking changes nothing: dry runs and questions leave every file as it was.

Hash, size, mode and time of every file and folder are compared, also of git's, DVC's and
Snakemake's. Left out is `scratch/plans/`, where plans are kept. In a new clone the first look also
makes folders: `scratch/`, and the empty ones of Snakemake's bookkeeping.
"""

import os
import shutil
import stat
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path, PurePath

import pytest
from test_snakemake import NOTHING, REPORT, planned, run_to_report, said

import flow
from conftest import Project, add_micro_experiment, copy_project
from variorum.base.files import sha256_of
from variorum.plan.plan_file import FOLDER, VARIABLE
from variorum.store.result import MANIFEST, RUN, VARYING

TABLE = "reports/rates/table.md"
RATES = """
title: Rates
question: Which rate?
experiment: micro
variants: {low: {pretrain: {learning_rate: 5.0e-4}}, high: {}}
baseline: high
seeds: [1, 2]
"""

EDITED_TABLE = "reports/edited/table.md"
EDITED = """
title: An edit
question: Does it help?
experiment: micro
variants: {present: {}, branch: {code: edited}, patch: {code: config/edit.patch}}
baseline: present
seeds: [1, 2]
"""
FILE = "src/variorum/model/attentions/fused.py"
BEFORE = "        dropout_p=dropout,\n"

LOOKS = (
    ("snakemake", "-n", REPORT),
    ("snakemake", "-n", TABLE),
    ("snakemake", "-n", "tokenizer", "finetune"),
    ("snakemake", "-n", EDITED_TABLE),
    ("variorum", "plan"),
    ("variorum", "plan", TABLE, "--all"),
    ("variorum", "why"),
    ("variorum", "why", "pretrain", "--config", "model={n_layer: 2}"),
    ("variorum", "plan", EDITED_TABLE),
    ("variorum", "why", "rates/low"),
    ("variorum", "why", "edited/branch"),
    ("variorum", "ls"),
    ("variorum", "ls", "pretrain", "--unneeded"),
    ("variorum", "config"),
    ("variorum", "verify"),
)

State = dict[str, tuple[str, object]]


def state(root: Path) -> State:
    """Type, mode, size, time and content of every path of a project."""
    found: State = {}
    for path in (root, *sorted(root.rglob("*"))):
        name = path.relative_to(root).as_posix()
        if name.startswith(FOLDER):
            continue
        facts = path.lstat()
        content: object = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = facts.st_size, facts.st_mtime_ns, sha256_of(path)
        else:
            content = facts.st_mtime_ns
        found[name] = (stat.filemode(facts.st_mode), content)
    return found


def changes(before: State, after: State) -> list[str]:
    """What differs, except new folders for plans and bookkeeping, and the time of their place."""
    new = {
        name
        for name in after.keys() - before.keys()
        if name.split("/")[0] in ("scratch", ".snakemake") and after[name][0].startswith("d")
    }
    new |= {PurePath(name).parent.as_posix() for name in new}
    names = (before.keys() | after.keys()) - new
    return sorted(name for name in names if before.get(name) != after.get(name))


def look(project: Project, *command: str) -> str:
    """Run a command that must leave everything as it is; gives what it printed."""
    before = state(project.root)
    cores = ("--cores", "2") if command[0] == "snakemake" else ()
    done = project.run(command[0], *cores, *command[1:], check=False)
    assert "Traceback" not in said(done)
    assert changes(before, state(project.root)) == [], command
    return said(done)


def with_ablations(project: Project) -> Project:
    """Add ablations, of which one names a branch and a patch, and commit everything."""

    def git(*arguments: str) -> str:
        return project.run("git", *arguments).stdout

    def commit() -> None:
        git("add", "--all")
        git("commit", "--quiet", "--message", "State")

    (project.root / "config/ablations/rates.yaml").write_text(RATES)
    (project.root / "config/ablations/edited.yaml").write_text(EDITED)
    commit()
    git("checkout", "--quiet", "-b", "edited")
    file = project.root / FILE
    file.write_text(file.read_text().replace(BEFORE, f"{BEFORE}        scale=0.5,\n"))
    patch = git("diff")
    commit()
    git("checkout", "--quiet", "-")
    (project.root / "config/edit.patch").write_text(patch)
    commit()
    return project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The micro experiment, run to its report, all committed."""
    folder = tmp_path_factory.mktemp("finished") / "project"
    return flow.made_by_commands(folder, run_to_report)


@pytest.fixture
def again(finished: Path, tmp_path: Path) -> Project:
    """A copy of it, with ablations beside it."""
    shutil.copytree(finished, tmp_path / "again", symlinks=True)
    return with_ablations(Project(tmp_path / "again"))


def test_looking_at_an_empty_project_changes_nothing(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    add_micro_experiment(project)
    with_ablations(project)
    for command in LOOKS:
        look(project, *command)


def test_looking_at_a_finished_project_changes_nothing(again: Project) -> None:
    for command in LOOKS:
        look(again, *command)
    assert NOTHING in look(again, "snakemake", "-n", REPORT)


def test_a_dry_run_plans_other_code_without_writing_it(again: Project) -> None:
    before = state(again.root)
    # of four trainings one is here; the branch and the patch are the same code
    assert planned(again.snakemake("-n", EDITED_TABLE))["make_pretrain"] == 3
    assert changes(before, state(again.root)) == []


def delete_what_dvc_holds(root: Path) -> None:
    for folder in (root / "results").glob("*/*/"):
        shutil.rmtree(folder)


def delete_what_a_bundle_holds(root: Path) -> None:
    for stage in ("evaluate", "stress", "figures"):
        shutil.rmtree(root / "results" / stage)


def lose_run_info(root: Path) -> None:
    for name in VARYING:
        for file in root.glob(f"results/*/*/{name}"):
            file.unlink()


def set_the_clock_back(root: Path) -> None:
    future = time.time() + 10**6
    for path in (root / "results").rglob("*"):
        os.utime(path, (future, future))


def kill_snakemake(root: Path) -> None:
    """Leave its locks, and its marks on results that were just published."""
    marks = root / ".snakemake"
    for kind in ("input", "output"):
        (marks / "locks").mkdir(exist_ok=True)
        (marks / f"locks/0.{kind}.lock").write_text("results/finetune/report.html\n")
    (marks / "incomplete").mkdir(exist_ok=True)
    for manifest in root.glob(f"results/*/*/{MANIFEST}"):
        name = manifest.relative_to(root).as_posix().encode()
        (marks / "incomplete" / urlsafe_b64encode(name).decode()).touch()


@pytest.mark.parametrize(
    "harm",
    [
        delete_what_dvc_holds,
        delete_what_a_bundle_holds,
        lose_run_info,
        set_the_clock_back,
        kill_snakemake,
    ],
)
def test_a_dry_run_foresees_what_a_run_repairs_and_repairs_nothing(
    again: Project, harm: Callable[[Path], None]
) -> None:
    harm(again.root)
    assert NOTHING in look(again, "snakemake", "-n", REPORT)
    # without inputs that are here, Snakemake names the target itself, which makes nothing
    assert "make_" not in look(again, "snakemake", "-n", "finetune")
    assert planned(again.snakemake("-n", TABLE))["make_pretrain"] == 3
    for command in LOOKS[4:]:
        look(again, *command)
    done = again.snakemake(REPORT)
    assert NOTHING in said(done)
    assert len(list(again.root.glob(f"results/report/*/{RUN}"))) == 1


def test_a_dry_run_tells_of_a_stale_page_without_touching_it(again: Project) -> None:
    (again.root / REPORT).write_text("edited")
    assert "publish_report" in look(again, "snakemake", "-n", REPORT)
    delete_what_dvc_holds(again.root)
    assert "publish_report" in look(again, "snakemake", "-n", REPORT)


def test_equal_plans_are_one_file(again: Project) -> None:
    def plans() -> dict[str, int]:
        return {p.name: p.stat().st_mtime_ns for p in (again.root / FOLDER).iterdir()}

    shutil.rmtree(again.root / FOLDER)
    again.snakemake("-n", REPORT)
    (first,) = plans().items()
    again.snakemake(REPORT)
    assert plans() == dict([first])
    again.snakemake("-n", "--config", "title=Other", "--", REPORT)
    assert len(plans()) == 2


def test_a_job_of_an_executor_reads_its_plan_whatever_was_edited_meanwhile(again: Project) -> None:
    (tokenizer,) = (again.root / "results/tokenizer").glob("*/")
    shutil.rmtree(tokenizer)
    (again.root / f"scratch/pins/tokenizer/{tokenizer.name}.dvc").unlink()
    shutil.rmtree(again.root / FOLDER, ignore_errors=True)
    again.snakemake("-n", "tokenizer")
    (plan,) = (again.root / FOLDER).iterdir()
    for file in ("config.yaml", "ablations/rates.yaml", "sources.lock"):
        (again.root / "config" / file).write_text("broken: [")
    done = again.snakemake(
        *("--mode", "remote", "--nolock", "--force", "--allowed-rules", "make_tokenizer"),
        *("--target-jobs", f"make_tokenizer:key={tokenizer.name}"),
        environment={VARIABLE: plan.relative_to(again.root).as_posix()},
    )
    assert f"tokenizer characters ({tokenizer.name}): as planned" in said(done)
    assert (tokenizer / MANIFEST).is_file()
    shutil.rmtree(tokenizer)
    plan.write_text(plan.read_text()[:-1])
    lost = again.run(
        "variorum", "run", f"tokenizer/{tokenizer.name}", "--plan", str(plan), check=False
    )
    assert "is cut off or not a plan; run the same `snakemake` command again" in lost.stderr
    plan.unlink()
    lost = again.run(
        "variorum", "run", f"tokenizer/{tokenizer.name}", "--plan", str(plan), check=False
    )
    assert "is gone; run the same `snakemake` command again" in lost.stderr
