"""What every source needs to fetch: where it is, where it may keep things, how it tells.

Also the checksum over a set of files, which names their bytes and relative paths and nothing of
the machine they lie on, and the error of a source that answers differently than it was locked.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError
from variorum.corpus.funnel import FunnelStep

MIRRORS = "VARIORUM_MIRRORS"

DOWNLOADS = "scratch/downloads"
"""Where below the project's folder partial and complete downloads lie."""


@dataclass
class Facts:
    """What a source knows of its text beside the documents; the same for the same settings.

    `notes`: sentences for the report. `steps`: what the source itself left out, which the funnel
    begins with. `entropy`: where it is known, the bits per byte that no model can beat on average.
    """

    notes: list[str] = field(default_factory=list)
    steps: list[FunnelStep] = field(default_factory=list)
    entropy: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        steps = [step.to_dict() for step in self.steps]
        return {"notes": self.notes, "steps": steps, "entropy": self.entropy}


@dataclass(frozen=True)
class FetchContext:
    """The surroundings of one fetch; none of it may change what is fetched.

    `root`: relative paths of settings start here. `cache`: folder for partial and complete
    downloads, which outlives a killed fetch. `mirrors`: folders that are searched before a network
    is asked. `report`: takes one line of progress for a person. `facts`: what a source tells.
    """

    root: Path
    cache: Path
    mirrors: tuple[Path, ...] = ()
    report: Callable[[str], None] = print
    facts: Facts = field(default_factory=Facts)


class ChecksumError(VariorumError):
    """A complete answer of the wrong checksum, which was kept at `kept`.

    `name` is what the lock calls the source. `elsewhere` says where else the expected bytes may be
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
    """The folders that the environment variable VARIORUM_MIRRORS names.

    They are separated as in PATH. Raises `VariorumError` for one that is no folder.
    """
    folders = [Path(name) for name in os.environ.get(MIRRORS, "").split(os.pathsep) if name]
    for folder in folders:
        if not folder.is_dir():
            raise VariorumError(
                f"{MIRRORS} names {folder}, which is no folder; correct the variable or unset it."
            )
    return tuple(folders)


def secret(name: str) -> str:
    """A token from the environment, which opens a server and decides nothing; "" if not set."""
    return os.environ.get(name, "").strip()


def context_of(root: Path, report: Callable[[str], None]) -> FetchContext:
    """The surroundings of fetches for the project at `root`."""
    return FetchContext(root, root / DOWNLOADS, mirrors_from_environment(), report)


def folder_of(name: str) -> str:
    """Return the folder of a source below `FetchContext.cache`, by its name in the lock."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def sha256_of_file(path: Path) -> str:
    """SHA-256 of the bytes of `path`, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(files: Iterable[Path], base: Path) -> str:
    """SHA-256 over paths and bytes of `files`, which lie below `base`, in the given order.

    It is the checksum of the listing that `sha256sum` prints from within `base`, so it can be
    checked by hand.
    """
    listing = hashlib.sha256()
    for file in files:
        line = f"{sha256_of_file(file)}  {file.relative_to(base).as_posix()}\n"
        listing.update(line.encode("utf-8", "surrogateescape"))
    return listing.hexdigest()
