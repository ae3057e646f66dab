"""A project with trained models, and what commands say there."""

import os
import subprocess
from functools import cache
from pathlib import Path

import flow
from conftest import SESSION, Project, Said, add_micro_experiment, copy_project


@cache
def trained() -> Project:
    """The micro experiment, without what comes after fine-tuning. Tests leave it as it is."""
    project = copy_project(Path(os.environ[SESSION]) / "trained")
    add_micro_experiment(project)
    flow.before(project.root, flow.current(project.root), "evaluate")
    return project


def refused(said: Said, *parts: str) -> None:
    """One line on stderr with these parts, nothing on stdout, status 1."""
    assert said.code == 1
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("variorum: ")
    for part in parts:
        assert part in said.err


def start(project: Project, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["variorum", "sample", *arguments],
        cwd=project.root,
        env=project.environment({"PYTHONUNBUFFERED": ""}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
