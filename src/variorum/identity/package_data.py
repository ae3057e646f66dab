"""Find the package's files that are not code, by the texts that name them."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import PurePosixPath

from variorum.identity.modules import Statement

_NO_DATA = (".py", ".pyc", ".pyi")


class PackageData:
    """Find templates, style sheets and other data among a package's files.

    `files` are their contents, by their paths in the package.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def named_in(
        self, file: str | None, statements: Iterable[Statement]
    ) -> dict[str, tuple[tuple[str, str], ...]]:
        """Return the files that each text in statements of `file` names, as (path, SHA-256)."""
        literals: set[str] = set().union(*(each.reading.literals for each in statements))
        found = {literal: self._named(file, literal) for literal in literals & self._files.keys()}
        return {
            literal: tuple(
                (str(each), sha256(self.files[str(each)]).hexdigest()) for each in sorted(files)
            )
            for literal, files in found.items()
            if files
        }

    def _named(self, file: str | None, literal: str) -> set[PurePosixPath]:
        """Return files that a text may name, and files that these name in turn."""
        files = {
            data
            for folder, data in self._files[literal]
            if folder is None or (file and PurePosixPath(file).parent in (folder, *folder.parents))
        }
        waiting = list(files)
        while waiting:
            text = self.files[str(waiting.pop())]
            named = {data for data in self._every_file if data.name.encode() in text}
            waiting.extend(named - files)
            files |= named
        return files

    @cached_property
    def _every_file(self) -> set[PurePosixPath]:
        return {data for entries in self._files.values() for _, data in entries}

    @cached_property
    def _files(self) -> dict[str, set[tuple[PurePosixPath | None, PurePosixPath]]]:
        """Map each name that a text may use to files: with folders or without.

        Or the name of a folder that it lies in, which only code beside that folder can mean.
        """
        found: dict[str, set[tuple[PurePosixPath | None, PurePosixPath]]] = {}
        for file in map(PurePosixPath, self.files):
            hidden = file.name.startswith(".") or file.name.endswith("~")
            if hidden or file.suffix in _NO_DATA:
                continue
            parts = file.parts
            for start in range(len(parts)):
                found.setdefault("/".join(parts[start:]), set()).add((None, file))
                if start < len(parts) - 1:
                    folder = "/".join(parts[start:-1])
                    found.setdefault(folder, set()).add((file.parent, file))
        return found
