"""In a project its own code runs, whichever environment is active and whatever lies beside it.

The environment of the tests has the package of this checkout. A copy with an edit stands for a
worktree or a copied clone that is worked in with another checkout's environment.
"""

import json
import shutil
import sys
from pathlib import Path

import pytest

from conftest import Project, add_micro_experiment, copy_project
from variorum.base.components import PACKAGE
from variorum.base.errors import VariorumError
from variorum.base.project import find_project
from variorum.cli.app import app
from variorum.plan.experiment import plan_experiment
from variorum.plan.loading import load_experiment
from variorum.plan.plan_file import FOLDER, VARIABLE
from variorum.store.store import OWN_PINS

FILE, OLD, NEW = "corpus/normalize.py", '_WHITE = " \\t\\n"', '_WHITE = " \\n\\t"'
STAGE = "normalize"
MARK = "the code of this project runs"
COMMANDS = sorted(
    each.name or each.callback.__name__.replace("_", "-")
    for each in app.registered_commands
    if each.callback is not None
)
INSTALLED = "from variorum.cli import main; main()"


def edit(root: Path, file: str, old: str, new: str) -> None:
    path = root / "src/variorum" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose code says that it runs."""
    project = copy_project(tmp_path_factory.mktemp("marked") / "project")
    add_micro_experiment(project)
    file = project.root / "src/variorum/cli/command.py"
    file.write_text(file.read_text(encoding="utf-8") + f"\nprint({MARK!r})\n", encoding="utf-8")
    return project


def planned(root: Path, package: Path) -> set[str]:
    plan = plan_experiment(load_experiment(root), root, package=package)
    return {node.ref.key for node in plan.of_stage(STAGE)}


def test_the_edit_runs_and_why_names_it(micro: Project) -> None:
    edit(micro.root, FILE, OLD, NEW)
    now, before = planned(micro.root, micro.root / "src/variorum"), planned(micro.root, PACKAGE)
    assert not now & before
    micro.snakemake(STAGE)
    made = {folder.name: folder for folder in (micro.root / "results" / STAGE).glob("*/")}
    assert made.keys() == now
    for folder in made.values():
        sources = json.loads((folder / "code.json").read_text(encoding="utf-8"))
        assert any(NEW in text for text in sources.values())
    (key, *_) = now
    assert f"{key} is finished" in micro.run("variorum", "why", key).stdout
    edit(micro.root, FILE, NEW, OLD)
    (key, *_) = before
    told = micro.run("variorum", "why", key).stdout
    assert "normalize:_WHITE" in told
    assert "nothing differs" not in told


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_runs_the_projects_code(marked: Project, name: str) -> None:
    assert MARK in marked.run("variorum", name, "--help").stdout


def test_a_package_that_is_installed_for_good_gives_way_to_the_projects(
    marked: Project, tmp_path: Path
) -> None:
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "site/variorum", ignore=skipped)
    site = {"PYTHONPATH": str(tmp_path / "site")}
    asked = (sys.executable, "-c", INSTALLED, "config")
    assert MARK in marked.run(*asked, environment=site).stdout


def test_python_refuses_other_code_in_one_line(marked: Project) -> None:
    with pytest.raises(VariorumError, match=r"cli/command.py differs from the running .*; use the"):
        find_project(marked.root)
    program = "import variorum; variorum.open()"
    done = marked.run("python", "-c", program, check=False)
    assert "VariorumError: src/variorum/cli/command.py differs" in done.stderr


def test_without_a_package_of_its_own_the_running_one_serves(micro: Project) -> None:
    shutil.rmtree(micro.root / "src")
    assert find_project(micro.root) == micro.root.resolve()
    assert "experiment micro" in micro.run("variorum", "config").stdout


def put_files_in_the_way(root: Path) -> None:
    """Name files of the project as the modules of Python and of libraries, where they lie."""
    names = {name for name in sys.stdlib_module_names if not name.startswith("_")}
    names |= {"numpy", "torch", "yaml", "ruamel", "pydantic", "variorum", "typer", "tqdm", "dvc"}
    for folder in (root, root / "workflow/rules"):
        for name in names:
            (folder / f"{name}.py").write_text("raise RuntimeError(f'{__file__} was taken')\n")


def test_no_file_of_the_project_takes_the_place_of_a_module(micro: Project) -> None:
    put_files_in_the_way(micro.root)
    for asked in (
        ("snakemake", "--cores", "2", "encode"),
        ("variorum", "track"),
        ("variorum", "why", "tokenizer"),
        ("variorum", "verify", "encode"),
        ("variorum", "gc"),
        ("dvc", "repro", "--dry"),
    ):
        done = micro.run(*asked, check=False)
        assert "was taken" not in done.stdout + done.stderr, asked
        assert not done.returncode, (asked, done.stderr)
    (plan,) = (micro.root / FOLDER).iterdir()
    key = next((micro.root / "results/encode").glob("*/")).name
    done = micro.snakemake(
        *("--mode", "remote", "--nolock", "--force", "--allowed-rules", "make_encode"),
        *("--target-jobs", f"make_encode:key={key}"),
        environment={VARIABLE: plan.relative_to(micro.root).as_posix()},
    )
    tracked = list((micro.root / OWN_PINS / "encode").glob("*.dvc"))
    assert len(tracked) == 2


def test_a_comparison_starts_snakemake_in_the_same_way(micro: Project) -> None:
    micro.run("git", "add", "--all")
    micro.run("git", "commit", "--quiet", "--message", "State")
    put_files_in_the_way(micro.root)
    done = micro.run("variorum", "compare", "HEAD~1", check=False)
    assert "was taken" not in done.stdout + done.stderr


def test_a_job_that_lacks_its_plan_says_so(micro: Project) -> None:
    done = micro.run(
        *("snakemake", "--cores", "1", "--mode", "remote", "--nolock", "pretrain"), check=False
    )
    assert done.returncode
    assert "variorum: VARIORUM_PLAN is not set in the process of this job" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_without_a_path_or_a_home_it_runs_all_the_same(micro: Project) -> None:
    binary = Path(sys.executable).parent
    bare = ("env", "--ignore-environment")
    micro.run(*bare, str(binary / "snakemake"), "--cores", "2", "tokenizer")
    micro.run(*bare, str(binary / "variorum"), "verify", "tokenizer")
    assert len(list((micro.root / OWN_PINS / "tokenizer").glob("*.dvc"))) == 1
