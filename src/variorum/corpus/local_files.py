"""Find the files on this machine that a source names, and checksum them.

Files are named, ordered and checksummed by their paths relative to what the setting names, so that
the same files in another place are the same corpus.
"""

import glob
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
    return base, [base / name for name in names]


def _matches(pattern: str, base: Path) -> list[str]:
    # Not Path.glob: whether its ** takes in files is a matter of the Python version.
    names = set(glob.glob(pattern, root_dir=base, recursive=True))  # noqa: PTH207
    return [name for name in names if (base / name).is_file()]


def _taken_apart(pattern: Path) -> tuple[Path, str]:
    """Return a pattern's leading folders without wildcards, and the rest."""
    parts = pattern.parts
    first = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:first]), str(Path(*parts[first:]))
