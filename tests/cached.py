"""Keeps what tests made, from one run of tests to the next: in `.cache/tests`.

An entry's name is a hash of all that decides its content, so a stale one is never asked for: of a
result, its key, its label, the sources that it records, and the code that writes results down. An
entry is copied into place under another name and renamed, so it is whole or absent; every file is
compared with its listing when the entry is used, and a damaged entry is made anew.
"""

import ast
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from variorum.base.components import PACKAGE
from variorum.base.files import sha256_of
from variorum.run import runner

ROOT = Path(__file__).parents[1]
VARIABLE = "VARIORUM_TESTS_CACHE"
"""The environment variable that names another folder."""

DAYS = 14
"""An entry that was not used for so long is removed."""

CONTENT, LISTING = "content", "files.json"


def folder() -> Path:
    """Return the folder of all entries."""
    return Path(os.environ.get(VARIABLE) or ROOT / ".cache/tests")


def name_of(*parts: str) -> str:
    """Return the name of the entry that these parts decide."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]


def fetch(name: str, target: Path) -> bool:
    """Copy an entry's content to `target`, which must not exist; False if there is no sound one."""
    entry = folder() / name
    try:
        listing = json.loads((entry / LISTING).read_text(encoding="utf-8"))
        os.utime(entry)
        shutil.copytree(entry / CONTENT, target, symlinks=True)
    except (OSError, ValueError):  # absent, cut off, or being pruned
        listing = None
    if listing is not None and listing == _listed(target):
        return True
    shutil.rmtree(target, ignore_errors=True)
    shutil.rmtree(entry, ignore_errors=True)
    return False


def keep(name: str, source: Path) -> None:
    """Copy a folder into the cache, unless another process has kept it meanwhile."""
    home = folder()
    home.mkdir(parents=True, exist_ok=True)
    copy = Path(mkdtemp(dir=home, prefix="new-"))
    shutil.copytree(source, copy / CONTENT, symlinks=True)
    (copy / LISTING).write_text(json.dumps(_listed(source), indent=1), encoding="utf-8")
    try:
        copy.rename(home / name)
    except OSError:
        shutil.rmtree(copy)
        if not (home / name).is_dir():
            raise


def prune(days: float = DAYS) -> None:
    """Remove the entries that were not used for some days."""
    oldest = time.time() - days * 86_400
    for entry in folder().glob("*"):
        if entry.stat().st_mtime < oldest:
            shutil.rmtree(entry, ignore_errors=True)


def _listed(content: Path) -> dict[str, str]:
    """SHA-256 of each file, or where a link leads, by path."""
    return {
        path.relative_to(content).as_posix(): (
            f"-> {path.readlink()}" if path.is_symlink() else sha256_of(path)
        )
        for path in content.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@cache
def writers() -> str:
    """Return a digest of the code that writes results down and is not part of their keys."""
    return digest_of(Path(runner.__file__), PACKAGE)


def digest_of(module: Path, package: Path) -> str:
    """Hash a module's file, all modules that it needs, the libraries' versions and Python's."""
    return digest_of_files([ROOT / "requirements.lock", *sorted(imported(module, package))])


def digest_of_files(paths: Iterable[Path], root: Path = ROOT) -> str:
    """Hash the files' paths from `root` and their bytes, in this order, and Python's version."""
    digest = hashlib.sha256(f"{sys.version} {sys.platform}".encode())
    for path in paths:
        if path.is_file():
            name = Path(os.path.relpath(path, root)).as_posix()
            digest.update(f"{sha256_of(path)} {name}\0".encode())
    return digest.hexdigest()


def imported(module: Path, package: Path = PACKAGE) -> set[Path]:
    """Return the files of a module and of all modules of the package that it needs."""
    return _needed(module, [package.parent])


def imported_tests(module: Path) -> set[Path]:
    """Return the files of a file of tests and of all helpers beside it or in `tests`."""
    return _needed(module, [module.parent, ROOT / "tests"])


def _needed(module: Path, folders: Iterable[Path]) -> set[Path]:
    found, todo = set(), [module]
    while todo:
        if (file := todo.pop()) not in found:
            found.add(file)
            todo += _imports(file, folders)
    return found


def _imports(module: Path, folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the files in these folders that a file's statements import."""
    for statement in ast.walk(ast.parse(module.read_bytes())):
        names: list[str] = []
        if isinstance(statement, ast.Import):
            names = [each.name for each in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            names = [statement.module, *(f"{statement.module}.{n.name}" for n in statement.names)]
        for name in names:
            for path in (folder.joinpath(*name.split(".")) for folder in folders):
                files = (path.with_suffix(".py"), path / "__init__.py")
                yield from (file for file in files if file.is_file())
