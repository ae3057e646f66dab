"""Other states of the code, out of git: their files in a folder, their package run from there."""

import os
import subprocess
import tarfile
from pathlib import Path

from variorum.errors import VariorumError


def git(root: Path, *arguments: str, given: str = "") -> str:
    """What a git command prints; raises `VariorumError` if it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            input=given,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError:
        raise VariorumError(
            "git is not installed, so other branches cannot be seen; install it"
        ) from None
    if done.returncode:
        raise VariorumError(
            f"`git {arguments[0]}` failed, so other branches cannot be seen; mend what it says: "
            + " ".join(done.stderr.split())
        )
    return done.stdout


def put_into(root: Path, tree: str, target: Path, *paths: str) -> None:
    """Write the files of a tree, or those that `paths` choose, into a new folder.

    Raises `VariorumError` if git does not have them all.
    """
    target.mkdir(parents=True)
    command = ["git", "archive", "--format=tar", tree, "--", *paths]
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
    """The environment of a process that runs the package below `source`, and no other.

    No module is found that happens to lie beside the script.
    """
    return {
        **os.environ,
        "PYTHONPATH": str(source),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
