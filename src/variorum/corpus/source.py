"""What every kind of source says of itself: a source's settings derive from one of these classes.

Each file of `corpus/sources/` is one kind. It defines the settings of that kind, which also tell
what planning, `verify` and the page need to know of it, and a function `fetch`, which gives the
documents. `source_kinds` collects them, so a new kind is one file.

Planning imports all of these files: whatever is slow to import is imported where it is used.
"""

from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import urlencode

from variorum.config.canonical import canonical
from variorum.config.types import Settings, Sha256, Text, setting
from variorum.corpus import local_files
from variorum.corpus.fetching import FetchContext

SOURCES = "corpus/sources"
"""The folder of the kinds."""


class SourceSettings(Settings):
    """Where the text of a corpus comes from; its settings fix every byte."""

    kind: str

    @property
    def title(self) -> str:
        """Return what a sentence calls the source."""
        raise NotImplementedError

    def sha256_here(self, root: Path) -> str | None:
        """Return the SHA-256 of what the source holds on this machine; None if nothing tells.

        Raises `VariorumError` if its files are not here.
        """
        return None

    def n_bytes_here(self, root: Path) -> int | None:
        """Return the bytes of its text on this machine; None if nothing tells."""
        return None


class LocalSource(SourceSettings):
    """Files on this machine."""

    path: Text = setting(..., "A file, a folder or a glob pattern, relative to the project.")
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
    """A source whose answer may change: it is locked in config/sources.lock at first use."""

    asked_by: ClassVar[str]
    """The setting that says what is asked for; a message names its line."""

    sha256: Sha256 | None

    @property
    def lock_name(self) -> str:
        """Return its name in the lock: kind and whatever decides what is asked."""
        asked = {name: value for name, value in canonical(self).items() if name != "sha256"}
        return f"{asked.pop('kind')}?{urlencode(sorted(asked.items()), doseq=True)}"

    @classmethod
    def called(cls, lock_name: str) -> Self | None:
        """Return the source of that name in the lock, if the name says all that is asked."""
        return None

    def held(self, context: FetchContext) -> tuple[str, int]:
        """Return SHA-256 and size of what the source holds now, by asking it.

        Raises `VariorumError` if it gives no answer.
        """
        raise NotImplementedError
