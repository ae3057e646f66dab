"""Find the project: the nearest folder above the working directory that is one."""

from pathlib import Path

from variorum.base.errors import VariorumError


def find_project(start: Path | None = None) -> Path:
    """Return the project around `start`, by default the working directory.

    Raises `VariorumError` if there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "config" / "experiments").is_dir() and (folder / "Snakefile").is_file():
            return folder
    raise VariorumError(f"{here} is not inside a Variorum project; cd into your clone")
