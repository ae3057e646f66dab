"""Find the project, and run its own code.

The project is the nearest folder above the working directory that has experiments and a Snakefile.
Another environment may be active: of the clone that a worktree or a copy was made from, or one with
the package installed for good. Then another package would run than the one that people edit, and
every command would say that the results are the project's. So a command runs itself again by the
project's own package, and what cannot do so is refused.
"""

import os
import sys
from pathlib import Path

from variorum.base.components import PACKAGE
from variorum.base.errors import VariorumError
from variorum.base.files import FolderFiles

SOURCE = "src"
"""Folder of the project's own package."""

CODE_VERSIONS = "scratch/code"
"""Folder of the code versions that were put in place; each can be read from git again."""

SAFE_PATH = "PYTHONSAFEPATH"
"""Where set, Python takes no module from the working directory or from beside a script."""


def find_project(start: Path | None = None) -> Path:
    """Return the project around `start`, by default the working directory.

    Raises `VariorumError` if there is none, if the working directory is gone, or if the project's
    code is not the running code.
    """
    try:
        here = (start or Path.cwd()).resolve()
    except FileNotFoundError:
        raise VariorumError(
            "the working directory was deleted or replaced; cd into your clone again"
        ) from None
    root = _around(here)
    if root is None:
        raise VariorumError(f"{here} is not inside a Variorum project; cd into your clone")
    refuse_other_code(root)
    return root


def _around(here: Path) -> Path | None:
    for folder in (here, *here.parents):
        if (folder / "config" / "experiments").is_dir() and (folder / "Snakefile").is_file():
            return folder
    return None


def refuse_other_code(root: Path) -> None:
    """Raise `VariorumError` if the running package is not the project's own."""
    name = _differing_file(root)
    if name is not None:
        raise VariorumError(
            f"{SOURCE}/{PACKAGE.name}/{name} differs from the running {PACKAGE / name}, so keys "
            "may differ; use the environment of this project (`make setup` makes one)"
        )


def _differing_file(root: Path) -> str | None:
    """Return a file in which the running package differs from the project's.

    None if none does. A code version of the project may run, and a project may have no package of
    its own.
    """
    own, running = (root / SOURCE / PACKAGE.name).resolve(), PACKAGE.resolve()
    versions = own.parents[1] / CODE_VERSIONS
    if not own.is_dir() or own == running or versions.resolve() in running.parents:
        return None
    differing = FolderFiles(own).items() ^ FolderFiles(PACKAGE).items()
    return min(name for name, _ in differing) if differing else None


def run_own_code() -> None:
    """Run this command by the package of the project around the working directory.

    It is the same process for whoever waits for it. Processes that it starts take no module from
    the project's folder, where a file may be called `random.py`.
    """
    os.environ[SAFE_PATH] = "1"
    try:
        root = _around(Path.cwd())
        if root is None or _differing_file(root) is None:
            return
    except OSError:  # the folder is gone, or cannot be read; `find_project` says so
        return
    source = str(root / SOURCE)
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if before[0] == source:  # it was tried; `find_project` says what differs
        return
    os.environ["PYTHONPATH"] = os.pathsep.join([source, *filter(None, before)])
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
