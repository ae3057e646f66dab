"""A library that the environment lacks, as after a pull, is one line with the remedy."""

import re
import subprocess
from importlib import metadata

import pytest

import flow
from conftest import Project
from variorum.base.errors import VariorumError, clear_about_libraries
from variorum.run import runner
from variorum.store.store import Store

REMEDY = "needs it; install what this checkout needs: `make setup`, or `pip install -e .`"

HIDING = """
import sys

class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {library!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hiding())
"""


def run_without(project: Project, library: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in an environment that lacks a library."""
    folder = project.root.parent / "hiding"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(HIDING.format(library=library), encoding="utf-8")
    return project.run(*command, check=False, environment={"PYTHONPATH": str(folder)})


def assert_told(done: subprocess.CompletedProcess[str], library: str) -> None:
    said = done.stdout + done.stderr
    told = f"variorum: the library {library} is missing"
    lines = [line for line in said.splitlines() if line.startswith(told)]
    assert done.returncode == 1, said
    assert len(lines) == 1, said
    assert REMEDY in lines[0]
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("library", "command"),
    [
        ("typer", ("plan",)),  # needed before any command is known
        ("ruamel", ("config",)),  # needed to plan
        ("torch", ("sample",)),
    ],
)
def test_at_the_command_line(project: Project, library: str, command: tuple[str, ...]) -> None:
    assert_told(run_without(project, library, "variorum", *command), library)


def test_in_snakemakes_planning(micro: Project) -> None:
    assert_told(run_without(micro, "ruamel", "snakemake", "-n"), "ruamel")


def test_in_the_process_of_a_stage_and_in_its_log(micro: Project) -> None:
    node = flow.before(micro.root, flow.current(micro.root), "baselines")
    runner.submit(Store(micro.root), node.spec, node.label)
    command = ("variorum", "run", str(node.ref), "--log", "log")
    assert_told(run_without(micro, "pyppmd", *command), "pyppmd")
    log = (micro.root / "log").read_text(encoding="utf-8")
    assert "stopped: the library pyppmd is missing" in log
    assert "fault of the program" not in log
    micro.run(*command)


def test_a_module_of_our_own_is_no_library() -> None:
    missing = pytest.raises(ModuleNotFoundError, match=r"variorum\.nothing")
    with missing, clear_about_libraries():
        import variorum.nothing  # type: ignore[import-not-found]  # noqa: F401


@pytest.mark.parametrize("name", ["nothing-here", "nothing.here"])
def test_a_distribution_that_is_not_installed_is_named(name: str) -> None:
    told = pytest.raises(VariorumError, match=f"the library {re.escape(name)} is missing")
    with told, clear_about_libraries():
        metadata.version(name)


@pytest.mark.parametrize("fault", ["from torch import nothing_here", "import torch.nothing_here"])
def test_a_library_that_lacks_a_part_is_no_missing_one(fault: str) -> None:
    told = pytest.raises(
        VariorumError, match=r"the library torch in .* lacks what .*nothing_here.*make setup"
    )
    with told, clear_about_libraries():
        exec(fault)


def test_a_name_that_was_mistyped_in_the_project_is_told_with_its_line(micro: Project) -> None:
    file = micro.root / "src/variorum/model/gpt.py"
    typo = "from torch import nothing_here\n"
    text = file.read_text(encoding="utf-8").replace("import torch\n", typo + "import torch\n", 1)
    file.write_text(text, encoding="utf-8")
    line = text.splitlines().index(typo.strip()) + 1
    done = micro.run("variorum", "sample", check=False)
    assert f"lacks what variorum/model/gpt.py:{line} imports" in done.stderr
    assert "correct the name" in done.stderr


@pytest.mark.parametrize("command", [("variorum", "why"), ("snakemake", "-n")])
def test_code_that_is_no_python_is_one_line(micro: Project, command: tuple[str, ...]) -> None:
    file = micro.root / "src/variorum/model/gpt.py"
    lines = file.read_text(encoding="utf-8").splitlines()
    lines.insert(30, "a = = 1")
    file.write_text("\n".join(lines), encoding="utf-8")
    done = micro.run(*command, check=False)
    said = done.stdout + done.stderr
    assert "variorum: variorum/model/gpt.py:31: invalid syntax; correct that line" in said
    assert "Traceback" not in said
