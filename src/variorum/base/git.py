"""Call git, read the files of other commits, and run the package in them."""

import os
import subprocess
import tarfile
from pathlib import Path

from variorum.base.errors import VariorumError


class GitError(VariorumError):
    """Report a failed git command; `said` is git's own reason, in one line."""

    def __init__(self, message: str, said: str) -> None:
        super().__init__(message)
        self.said = said


def git(root: Path, *arguments: str, given: str = "", alone: bool = False) -> str:
    """Return what a git command prints; raises `GitError` if it fails.

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
        raise GitError(
            f"{missing}, so other branches cannot be seen; install it", missing
        ) from None
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise GitError(
            f"`git {arguments[0]}` failed, so other branches cannot be seen; fix what it says: "
            + said,
            said,
        )
    return done.stdout


def put_into(root: Path, tree: str, target: Path) -> None:
    """Write the files of a tree into a new folder.

    Raises `VariorumError` if git lacks some of them.
    """
    target.mkdir(parents=True)
    command = ["git", "archive", "--format=tar", tree]
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as archive:
        assert archive.stdout is not None
        assert archive.stderr is not None
        try:
            with tarfile.open(fileobj=archive.stdout, mode="r|") as tar:
                tar.extractall(target, filter="tar")
        except tarfile.TarError as error:
            archive.stdout.close()
            said = archive.stderr.read().decode(errors="replace").strip()
            raise VariorumError(f"git could not give its files: {said or error}") from None


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
