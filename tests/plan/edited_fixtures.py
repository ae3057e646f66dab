"""A project to edit, for tests of variants that run another state of the code."""

from pathlib import Path

import pytest

from conftest import Project
from edited_code import committed


@pytest.fixture
def edited(tmp_path: Path) -> Project:
    """A committed project with an experiment that takes seconds, to change."""
    return committed(tmp_path / "project")
