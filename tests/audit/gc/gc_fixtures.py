"""A project with results that are needed and results that were, for tests of `ls` and `gc`."""

import shutil
from pathlib import Path

import pytest

import flow
import made_up
from conftest import Project
from variorum.plan.experiment import Plan


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The results of `micro`, and of a wider model that counts no more, stored and committed.

    Their corpora and tokenizer are the same.
    """
    made = made_up.project(tmp_path_factory.mktemp("inventory") / "project")
    made_up.make(made.root, flow.current(made.root))
    made_up.change(made.root, model="{n_embd: 32}")
    made_up.make(made.root, flow.current(made.root))
    made_up.share(made.root)
    made_up.change(made.root)
    made_up.commit(made)
    return made


@pytest.fixture
def shelf(stored: Project, tmp_path: Path) -> Project:
    shutil.copytree(stored.root, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture
def root(shelf: Project) -> Path:
    return shelf.root


@pytest.fixture
def needed(root: Path) -> Plan:
    return flow.current(root)


@pytest.fixture
def wide(root: Path) -> Plan:
    """What was needed once."""
    made_up.change(root, model="{n_embd: 32}")
    plan = flow.current(root)
    made_up.change(root)
    return plan
