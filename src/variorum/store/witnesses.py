"""Judge other bytes of a result: right are the ones that a witness names.

A key has other bytes on another platform, so files that differ from the ones here may be right.
That they agree with the manifest beside them proves nothing, as a forger writes both. A witness
is a record of a run, which names the manifest that it made (as `run.json` does, for the result that
it lies in), or the `.dvc` file that git holds, whose listing names the bytes of the manifest.
"""

import hashlib
from collections.abc import Collection, Mapping
from enum import Enum, auto
from functools import cached_property
from pathlib import Path
from typing import Any

from variorum.identity.spec import Ref
from variorum.store.dvc_cache import DvcCache, Listing, md5_of, pinned_by
from variorum.store.manifests import Manifest
from variorum.store.records import RECORDS, has_records_elsewhere, recorded_runs
from variorum.store.result import MANIFEST
from variorum.store.store import Store


class Testimony(Enum):
    """Say whether bytes of a result are right, as far as witnesses tell."""

    NAMED = auto()  # a witness names them
    REFUTED = auto()  # every witness is here, and none names them
    OPEN = auto()  # a witness that is not here may name them


class Witnesses:
    """Ask the records, and the shared `.dvc` files, of one project."""

    def __init__(self, store: Store) -> None:
        self._store, self._cache = store, DvcCache(store.root)

    def run_of(self, ref: Ref, digests: Collection[str]) -> Mapping[str, Any] | None:
        """Return what a record tells of the run that made these bytes; None without one.

        digests: hashes by which later results note the manifest.
        """
        runs = (run for told, digest, run in self._recorded if told == ref and digest in digests)
        return next(runs, None)

    def is_listed(self, file: Path) -> bool:
        """Check whether git's `.dvc` file lists a file below `results/` with these bytes."""
        _, stage, key, *inner = file.relative_to(self._store.root).parts
        listing = self._listing(Ref(stage, key))
        return listing is not None and listing.get("/".join(inner)) == md5_of(file)

    def judge(self, ref: Ref, manifest: Manifest, content: bytes) -> Testimony:
        """Judge the bytes that a manifest, with this content, lists."""
        if self.run_of(ref, manifest.noted_as) is not None:
            return Testimony.NAMED
        listing = self._listing(ref)
        if listing and listing.get(MANIFEST) == hashlib.md5(content).hexdigest():
            return Testimony.NAMED
        is_unread = listing is None and pinned_by(self._store.pin(ref)) is not None
        return Testimony.OPEN if is_unread or self.may_come else Testimony.REFUTED

    def has_any(self, ref: Ref) -> bool:
        """Check whether one here tells of any bytes of a result."""
        return self._listing(ref) is not None or any(
            told == ref and digest for told, digest, _ in self._recorded
        )

    def runs_of(self, ref: Ref) -> list[Mapping[str, Any]]:
        """Return what records tell of each run of a result, whatever its bytes."""
        return [run for told, _, run in self._recorded if told == ref]

    @cached_property
    def may_come(self) -> bool:
        """Check whether git names records that are not here yet."""
        return has_records_elsewhere(self._store.root)

    def coming(self) -> str:
        """Return the command that brings records which are not here yet, or ""."""
        return (
            f"`dvc fetch -R {RECORDS}` brings the records that git names" if self.may_come else ""
        )

    @cached_property
    def _recorded(self) -> list[tuple[Ref, str | None, Mapping[str, Any]]]:
        return recorded_runs(self._store.root)

    def _listing(self, ref: Ref) -> Listing | None:
        md5 = pinned_by(self._store.pin(ref))
        return self._cache.listing(md5) if md5 else None


def fetching(store: Store, ref: Ref) -> str:
    """Return the command that brings what git names of a result, to compare with it."""
    pin = [store.pin(ref).relative_to(store.root).as_posix()] if store.pin(ref).is_file() else []
    return " ".join(("`dvc fetch -R", *pin, f"{RECORDS}`"))
