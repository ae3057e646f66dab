"""Define what every source needs to fetch: folders, mirrors, progress lines, facts.

Also the checksum over a set of files, which covers their bytes and relative paths and nothing of
the machine they lie on, and the error for a source whose answer differs from the locked one.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError
from variorum.base.files import sha256_of
from variorum.corpus.funnel import FunnelStep

MIRRORS = "VARIORUM_MIRRORS"

DOWNLOADS = "scratch/downloads"
"""Where below the project's folder partial and complete downloads lie."""


@dataclass
class Facts:
    """Hold what a source knows about its text; equal for equal settings.

    `notes`: sentences for the report. `steps`: what the source itself left out, which the funnel
    begins with. `entropy`: where it is known, the bits per byte that no model can beat on average.
    """

    notes: list[str] = field(default_factory=list)
    steps: list[FunnelStep] = field(default_factory=list)
    entropy: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        steps = [step.to_dict() for step in self.steps]
        return {"notes": self.notes, "steps": steps, "entropy": self.entropy}


@dataclass(frozen=True)
class FetchContext:
    """Describe the surroundings of one fetch, none of which may change what is fetched.

    `root`: relative paths of settings start here. `cache`: folder for partial and complete
    downloads, which outlives a killed fetch. `mirrors`: folders that are searched before a network
    is asked. `report`: takes one line of progress for a person. `facts`: what a source finds out.
    """

    root: Path
    cache: Path
    mirrors: tuple[Path, ...] = ()
    report: Callable[[str], None] = print
    facts: Facts = field(default_factory=Facts)


class ChecksumError(VariorumError):
    """Report a complete answer with the wrong checksum, stored at `kept`.

    `name` is the source's name in the lock. `elsewhere` says where else the expected bytes may be
    put by hand, as part of a sentence.
    """

    def __init__(
        self, name: str, expected: str, found: str, kept: Path, elsewhere: str = ""
    ) -> None:
        self.name, self.expected, self.found, self.kept = name, expected, found, kept
        self.elsewhere = elsewhere
        super().__init__(
            f"{name} has SHA-256 {found}, expected {expected}; what came is kept at {kept}. "
            f"Either bring the expected answer{elsewhere}; or accept the new one by setting "
            f"source.sha256 to {found}."
        )


def mirrors_from_environment() -> tuple[Path, ...]:
    """Return the folders in the environment variable VARIORUM_MIRRORS.

    They are separated as in PATH. Raises `VariorumError` for a name that is no folder.
    """
    folders = [Path(name) for name in os.environ.get(MIRRORS, "").split(os.pathsep) if name]
    for folder in folders:
        if not folder.is_dir():
            raise VariorumError(
                f"{MIRRORS} names {folder}, which is no folder; correct the variable or unset it."
            )
    return tuple(folders)


def secret(name: str) -> str:
    """Return a token from the environment, or "" if unset; it decides no result."""
    return os.environ.get(name, "").strip()


def context_of(root: Path, report: Callable[[str], None]) -> FetchContext:
    """Return the fetch context of the project at `root`."""
    return FetchContext(root, root / DOWNLOADS, mirrors_from_environment(), report)


def folder_of(name: str) -> str:
    """Return the folder of a source below `FetchContext.cache`, by its name in the lock."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def sha256_of_files(files: Iterable[Path], base: Path) -> str:
    """Return the SHA-256 over paths (relative to `base`) and bytes of `files`, in order.

    It is the checksum of the listing that `sha256sum` prints from within `base`, so it can be
    checked by hand.
    """
    listing = hashlib.sha256()
    for file in files:
        line = f"{sha256_of(file)}  {file.relative_to(base).as_posix()}\n"
        listing.update(line.encode("utf-8", "surrogateescape"))
    return listing.hexdigest()
