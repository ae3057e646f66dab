"""Find the files on this machine that a source names, and checksum them.

Files are named, ordered and checksummed by their paths relative to what the setting names, so that
the same files in another place are the same corpus. Links are followed, but each folder is visited
once: a link to a folder that holds it would give every file again without end.
"""

import glob
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from variorum.base.errors import VariorumError
from variorum.corpus.fetch_context import sha256_of_files


def find(path: str, suffixes: tuple[str, ...], root: Path) -> list[Path]:
    """Return the files that `path` names, in the order of their relative paths.

    In a folder, only files with one of the `suffixes` count (all if there are none), without hidden
    files; a pattern is followed as it is. Raises `VariorumError` when there is none.
    """
    return _found(path, suffixes, root)[1]


def digest(path: str, suffixes: tuple[str, ...], root: Path) -> str:
    """Return the SHA-256 over relative paths and bytes of the files `find` returns."""
    base, files = _found(path, suffixes, root)
    return sha256_of_files(files, base)


def checked(
    path: str, suffixes: tuple[str, ...], root: Path, sha256: str | None
) -> tuple[Path, list[Path]]:
    """Return the folder that names start from, and the files that `path` names.

    Raises `VariorumError` when there is none, or their checksum differs from `sha256`.
    """
    base, files = _found(path, suffixes, root)
    if sha256 and (found := sha256_of_files(files, base)) != sha256:
        raise VariorumError(
            f"source.sha256: the {len(files)} files of {path} have SHA-256 {found}, expected "
            f"{sha256}; put the expected files back, or set sha256 to the one found."
        )
    return base, files


def _found(path: str, suffixes: tuple[str, ...], root: Path) -> tuple[Path, list[Path]]:
    """Return the folder that names start from, and the files."""
    try:
        place = root / Path(path).expanduser()
    except RuntimeError:
        raise VariorumError(
            f"source.path: {path}: no home folder of that user is known; write the path out."
        ) from None
    if place.is_file():
        return place.parent, [place]
    if place.is_dir():
        base = place
        endings = tuple(suffix.lower() for suffix in suffixes) or ("",)
        names = [name for name in _matches("**", base) if name.lower().endswith(endings)]
        what = f"no file that ends in {' or '.join(suffixes)}" if suffixes else "no file"
    else:
        base, pattern = _taken_apart(place)
        names = _matches(pattern, base)
        what = "no such file or folder, and no file that fits it as a pattern"
    # As POSIX text, so that the order is the same everywhere.
    names.sort(key=lambda name: Path(name).as_posix())
    if not names:
        raise VariorumError(
            f"source.path: {path} ({place}): {what}; correct source.path"
            f"{' or source.suffixes' if place.is_dir() else ''}."
        )
    files = [base / name for name in names]
    if gone := [file for file in files if not file.is_file()]:
        raise VariorumError(
            f"source.path: {gone[0]} is a link to nothing; remove it, or bring what it links to."
        )
    return base, files


def _matches(pattern: str, base: Path) -> list[str]:
    """Return what fits a pattern below a folder, as `glob` does.

    That is files and links to nothing, relative to it. Raises `VariorumError` for a folder that
    cannot be read: what is in it would be missing without a word.
    """
    found = set(_fitting(base, Path(pattern).parts))
    return [
        os.path.relpath(place, base)
        for place in found
        if place.is_file() or (place.is_symlink() and not place.exists())
    ]


def _fitting(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """Yield what fits a pattern's parts; hidden names if it says so."""
    first, rest = parts[0], parts[1:]
    if first == "**":
        for below in _folders_below(folder):
            yield from _fitting(below, rest or ("*",))
    elif not glob.has_magic(first):
        if rest or os.path.lexists(folder / first):
            yield from _fitting(folder / first, rest) if rest else [folder / first]
    else:
        for entry in _entries(folder):
            is_shown = not entry.name.startswith(".") or first.startswith(".")
            if is_shown and fnmatchcase(entry.name, first):
                if not rest:
                    yield folder / entry.name
                elif _is_folder(entry):
                    yield from _fitting(folder / entry.name, rest)


def _folders_below(folder: Path) -> Iterator[Path]:
    """Yield a folder and all below it once, real ones first."""
    seen, links = set[str](), [folder]
    while links:
        begin = links.pop(0)
        if not _leads_back(begin):
            yield from _real_folders_below(begin, seen, links)


def _real_folders_below(folder: Path, seen: set[str], links: list[Path]) -> Iterator[Path]:
    """Yield a folder and new real ones below it; add to links."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    yield folder
    for entry in _entries(folder):
        if not entry.name.startswith(".") and _is_folder(entry):
            if entry.is_symlink():
                links.append(folder / entry.name)
            else:
                yield from _real_folders_below(folder / entry.name, seen, links)


def _leads_back(folder: Path) -> bool:
    """Return whether a folder is a link to a folder that holds it."""
    holder, real = Path(os.path.realpath(folder.parent)), Path(os.path.realpath(folder))
    return folder.is_symlink() and (real == holder or real in holder.parents)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a folder or leads to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder, by name; nothing if it is none."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as problem:
        raise VariorumError(
            f"source.path: {folder} cannot be read ({problem.strerror}), and its files would be "
            "missing; fix that, or name other files."
        ) from None


def _taken_apart(pattern: Path) -> tuple[Path, str]:
    """Return a pattern's leading folders without wildcards, and the rest."""
    parts = pattern.parts
    first = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:first]), str(Path(*parts[first:]))
