"""Find which results DVC has stored, as far as this machine can tell.

A result is stored if some commit holds its `.dvc` file, and every byte lies in DVC's cache or in a
remote on a local disk. Results without `.dvc` files are stored with the report or table that
carries them.
"""

import re
from collections.abc import Collection
from functools import cached_property
from pathlib import Path

from variorum.identity.spec import Ref, Spec
from variorum.store.committed import committed_pins, contents, has_git
from variorum.store.dvc_cache import DvcCache, Listing, md5_of, pinned
from variorum.store.restoring import BUNDLE
from variorum.store.result import MANIFEST
from variorum.store.store import Store

CARRIED = re.compile(f"{BUNDLE}/([^/]+)/([^/]+)/{re.escape(MANIFEST)}")
"""The manifest of a result inside of a report or table."""

UNCOMMITTED = "no commit holds its .dvc file"
NOT_CARRIED = "no report or table that DVC has stored carries it"
LOST = "its bytes are neither in DVC's cache nor in a remote on this machine"
DIFFERS = "DVC has stored other bytes"


class Vault:
    """Read DVC's copies of the results of the project at `root`.

    Results of the stages `tracked` have `.dvc` files; the others travel in reports and tables.
    """

    def __init__(self, root: Path, tracked: Collection[str]) -> None:
        self._root, self._store, self._tracked = root, Store(root), tracked
        self._cache = DvcCache(root, remote=True)
        self._hashed: dict[str, bool] = {}

    def lacks(self, ref: Ref) -> str | None:
        """Return why the result `ref` is not stored; None if it is.

        If its folder is empty, only its `.dvc` file counts.
        """
        if not any(self._store.folder(ref).glob("*")):
            committed = {self._contents[name] for name in self._pins.get(ref, ())}
            return None if self._store.pin(ref).read_bytes() in committed else UNCOMMITTED
        if ref.stage in self._tracked:
            whole = (listing for listing in self._listings(ref) if self._is_whole(listing))
            stored = {listing[MANIFEST] for listing in whole}
            missing = LOST if ref in self._pins else UNCOMMITTED
        else:
            stored, missing = self._carried.get(ref, set()), NOT_CARRIED
        if not stored:
            return missing
        return None if md5_of(self._store.folder(ref) / MANIFEST) in stored else DIFFERS

    def upstream(self, ref: Ref) -> list[Ref] | None:
        """Return a result's inputs from a manifest that DVC has stored; None without one."""
        for listing in self._listings(ref):
            manifest = self._cache.json(listing.get(MANIFEST, ""))
            if isinstance(manifest, dict):
                return list(Spec.from_data(manifest["spec"]).upstream.values())
        return None

    @cached_property
    def _carried(self) -> dict[Ref, set[str]]:
        """Return the MD5 of manifests that stored reports and tables carry."""
        found: dict[Ref, set[str]] = {}
        for listing in (listing for ref in self._pins for listing in self._listings(ref)):
            carried = [(m, md5) for name, md5 in listing.items() if (m := CARRIED.fullmatch(name))]
            if carried and self._is_whole(listing):
                for match, md5 in carried:
                    found.setdefault(Ref(*match.groups()), set()).add(md5)
        return found

    def _listings(self, ref: Ref) -> list[Listing]:
        """Return DVC's listings of every committed version of this result."""
        pins = (self._contents[name] for name in sorted(self._pins.get(ref, ())))
        md5s = (pinned(content.decode(errors="replace"), ref.key) for content in pins)
        listings = (self._cache.listing(md5) for md5 in md5s if md5)
        return [listing for listing in listings if listing is not None]

    @cached_property
    def _pins(self) -> dict[Ref, set[str]]:
        """Return the git objects of committed `.dvc` files, by result."""
        return committed_pins(self._root) if has_git(self._root) else {}

    @cached_property
    def _contents(self) -> dict[str, bytes]:
        """Return the `.dvc` files of all commits, by git object."""
        return contents(self._root, sorted(set().union(*self._pins.values())))

    def _is_whole(self, listing: Listing) -> bool:
        """Check whether DVC has every listed file, undamaged."""
        manifest = self._cache.json(listing.get(MANIFEST, ""))
        if not isinstance(manifest, dict) or not manifest["files"].keys() <= listing.keys():
            return False
        return all(self._has(md5) for md5 in listing.values())

    def _has(self, md5: str) -> bool:
        if md5 not in self._hashed:
            self._hashed[md5] = any(md5_of(file) == md5 for file in self._cache.paths(md5))
        return self._hashed[md5]
