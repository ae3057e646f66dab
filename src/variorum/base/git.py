"""Call git, and read or run the files of other commits."""

import os
import subprocess
import tarfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from variorum.base.errors import VariorumError
from variorum.base.files import write_files


class GitError(VariorumError):
    """Report a failed git command; `said` is git's own reason, in one line."""

    def __init__(self, message: str, said: str) -> None:
        super().__init__(message)
        self.said = said


def git(
    root: Path,
    *arguments: str,
    given: str = "",
    alone: bool = False,
    so: str = "other branches cannot be seen",
) -> str:
    """Return what a git command prints; raises `GitError`, where `so` says what follows.

    With `alone` git does not see a repository around `root`.
    """
    ceiling = {"GIT_CEILING_DIRECTORIES": str(root.resolve().parent)} if alone else {}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            env={**os.environ, **ceiling},
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError:
        missing = "git is not installed"
        raise GitError(f"{missing}, so {so}; install it", missing) from None
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise GitError(
            f"`git {arguments[0]}` failed, so {so}; fix what it says: " + said,
            said,
        )
    return done.stdout


def files_of(root: Path, tree: str) -> dict[str, bytes]:
    """Return the content of each file of a tree, by its path in the tree.

    Nothing is written. Raises `VariorumError` if git lacks some of the files.
    """
    command = ["git", "archive", "--format=tar", tree]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise VariorumError(f"git could not give its files: {said}")
    files = {}
    with tarfile.open(fileobj=BytesIO(done.stdout)) as tar:
        for member in tar.getmembers():
            with suppress(KeyError):  # a link that leads out of the tree
                if content := tar.extractfile(member):
                    files[member.name] = content.read()
    return files


def put_into(root: Path, tree: str, target: Path) -> None:
    """Write the files of a tree into a new folder.

    Raises `VariorumError` if git lacks some of them.
    """
    write_files(files_of(root, tree), target)


def running(source: Path) -> dict[str, str]:
    """Return the environment of a process that runs the package below `source`.

    It finds no module that happens to lie beside the script.
    """
    return {
        **os.environ,
        "PYTHONPATH": str(source),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
