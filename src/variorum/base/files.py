"""Hash files, and hold a folder's files in memory: read each once, or write all."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

COMPILED = "__pycache__"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FolderFiles(Mapping[str, bytes]):
    """Map the path of each file below a folder to its content, read late.

    Paths have slashes and begin in the folder. Python's compiled files are left out.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._contents: dict[str, bytes] = {}

    def __getitem__(self, path: str) -> bytes:
        if path not in self._contents:
            if path not in self._paths:
                raise KeyError(path)
            self._contents[path] = (self._folder / path).read_bytes()
        return self._contents[path]

    def __contains__(self, path: object) -> bool:
        return path in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    @cached_property
    def _paths(self) -> dict[str, None]:
        return dict.fromkeys(sorted(_below(self._folder)))


def _below(folder: str | Path, prefix: str = "") -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                yield prefix + entry.name
            elif entry.is_dir() and entry.name != COMPILED:
                yield from _below(entry.path, f"{prefix}{entry.name}/")


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files, each given by its path in the folder, which need not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
