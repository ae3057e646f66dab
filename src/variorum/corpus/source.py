"""Define what every kind of source declares: the base classes of sources' settings.

Each file of `corpus/sources/` is one kind. It defines the settings of that kind, with what
planning, `verify` and the page need to know of it, and a function `fetch`, which yields the
documents. `source_kinds` collects them, so a new kind is one file.

Planning imports all of these files: whatever is slow to import is imported where it is used.
"""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import urlencode

from variorum.config.canonical import canonical
from variorum.config.types import Location, Settings, Sha256, setting
from variorum.corpus import local_files
from variorum.corpus.fetch_context import FetchContext

SOURCES = "corpus/sources"
"""The folder of the kinds."""


class SourceSettings(Settings):
    """Describe where the text of a corpus comes from; the settings fix every byte."""

    kind: str

    @property
    @abstractmethod
    def title(self) -> str:
        """Return the source's name for a sentence."""

    def sha256_here(self, root: Path) -> str | None:
        """Return the SHA-256 of the source on this machine; None if unknown.

        Raises `VariorumError` if its files are not here.
        """
        return None

    def n_bytes_here(self, root: Path) -> int | None:
        """Return the bytes of its text on this machine; None if unknown."""
        return None


class LocalSource(SourceSettings):
    """Describe files on this machine."""

    path: Location = setting(..., "A file, a folder or a glob pattern, relative to the project.")
    suffixes: tuple[str, ...]
    sha256: Sha256 | None = setting(
        None, "SHA-256 over the files. Left out, it is computed before anything runs."
    )

    @property
    def title(self) -> str:
        """Return the path."""
        return self.path

    def sha256_here(self, root: Path) -> str:
        """Return the SHA-256 over the files as they are now."""
        return local_files.digest(self.path, self.suffixes, root)

    def n_bytes_here(self, root: Path) -> int:
        """Return the bytes of the files."""
        found = local_files.find(self.path, self.suffixes, root)
        return sum(file.stat().st_size for file in found)


class ChangingSource(SourceSettings):
    """Describe a source whose answer may change: config/sources.lock pins it at first use."""

    asked_by: ClassVar[str]
    """The setting that decides what is asked for; a message names its line."""

    sha256: Sha256 | None

    @property
    def lock_name(self) -> str:
        """Return its name in the lock: the kind and every setting that decides the answer."""
        asked = {name: value for name, value in canonical(self).items() if name != "sha256"}
        return f"{asked.pop('kind')}?{urlencode(sorted(asked.items()), doseq=True)}"

    @classmethod
    def called(cls, lock_name: str) -> Self | None:
        """Return the source of that name in the lock, if the name holds every setting."""
        return None

    @abstractmethod
    def held(self, context: FetchContext) -> tuple[str, int]:
        """Return SHA-256 and bytes of what the source holds now, by asking it.

        Raises `VariorumError` if it gives no answer.
        """
