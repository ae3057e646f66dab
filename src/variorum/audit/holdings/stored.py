"""What DVC has stored of the results, as far as can be seen from here.

A result is stored if a `.dvc` file that some branch, tag or the like has committed pins it, and
every byte lies in DVC's cache or in a remote on a disk of this machine. Results that get no `.dvc`
file travel inside a report or table, and are stored with it.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from variorum.audit.holdings.trees import Tree, blobs
from variorum.engines.dvc_cache import DvcCache, Listing, md5_of, pinned
from variorum.engines.tracking import BUNDLE, BUNDLING, OWN_FILE
from variorum.store import MANIFEST, Ref, Spec, Store, StoreError

CARRIED = re.compile(f"{BUNDLE}/([^/]+)/([^/]+)/{re.escape(MANIFEST)}")
"""The manifest of a result inside of a report or table."""

UNCOMMITTED = "its .dvc file is committed on no branch"
DIFFERS = "DVC has stored other bytes of it"


class Vault:
    """DVC's copies of the results of the project at `root`, by the `.dvc` files of these trees."""

    def __init__(self, root: Path, trees: Iterable[Tree]) -> None:
        self._root, self._store = root, Store(root)
        self._cache = DvcCache(root, remote=True)
        self._hashed: dict[str, bool] = {}
        self._pins: dict[Ref, set[str]] = {}
        for pins in {id(tree.pins): tree.pins for tree in trees}.values():
            for ref, blob in pins.items():
                self._pins.setdefault(ref, set()).add(blob)

    def lacks(self, ref: Ref) -> str | None:
        """Why what lies here under `ref` is not stored; None if it is."""
        if ref.stage not in (*OWN_FILE, *BUNDLING):
            return self._lacks_in_bundles(ref)
        if ref not in self._pins:
            return UNCOMMITTED
        listings = [listing for listing in self._listings(ref) if self._is_whole(listing)]
        if not listings:
            return "its bytes are neither in DVC's cache nor in a remote on this machine"
        here = md5_of(self._store.folder(ref) / MANIFEST)
        return None if any(listing.get(MANIFEST) == here for listing in listings) else DIFFERS

    def lacks_pin(self, ref: Ref) -> str | None:
        """Why the `.dvc` file here is not in git; None if it is."""
        here = self._store.pin(ref).read_bytes()
        committed = {self._blobs[blob] for blob in self._pins.get(ref, ())}
        return None if here in committed else UNCOMMITTED

    def _lacks_in_bundles(self, ref: Ref) -> str | None:
        stored = self._bundled.get(ref, set())
        if not stored:
            return "no report or table that DVC has stored carries it"
        here = md5_of(self._store.folder(ref) / MANIFEST)
        return None if here in stored else DIFFERS

    @cached_property
    def _bundled(self) -> dict[Ref, set[str]]:
        """MD5 of the manifests that travel inside of stored reports and tables."""
        found: dict[Ref, set[str]] = {}
        for ref in self._pins:
            if ref.stage in BUNDLING:
                for listing in filter(self._is_whole, self._listings(ref)):
                    for name, md5 in listing.items():
                        if match := CARRIED.fullmatch(name):
                            found.setdefault(Ref(*match.groups()), set()).add(md5)
        return found

    def manifest(self, ref: Ref) -> Mapping[str, Any] | None:
        """The manifest of a result as DVC stores it; None if it does not."""
        for listing in self._listings(ref):
            found = self._cache.json(listing.get(MANIFEST, ""))
            if isinstance(found, dict):
                return found
        return None

    def upstream(self, ref: Ref) -> list[Ref] | None:
        """What a result was made from, by its manifest here or by DVC's; None if there is none."""
        try:
            return list(self._store.glance(ref).spec.upstream.values())
        except StoreError:
            manifest = self.manifest(ref)
        return list(Spec.from_data(manifest["spec"]).upstream.values()) if manifest else None

    def _listings(self, ref: Ref) -> list[Listing]:
        """Every folder that a committed `.dvc` file pins as this result, if DVC has its listing."""
        contents = (self._blobs[blob] for blob in sorted(self._pins.get(ref, ())))
        md5s = (pinned(content.decode(errors="replace"), ref.key) for content in contents)
        listings = (self._cache.listing(md5) for md5 in md5s if md5)
        return [listing for listing in listings if listing is not None]

    @cached_property
    def _blobs(self) -> dict[str, bytes]:
        return blobs(self._root, sorted(set().union(*self._pins.values())))

    def _is_whole(self, listing: Listing) -> bool:
        """Whether DVC has every file that the manifest lists, and each of them undamaged."""
        manifest = self._cache.json(listing.get(MANIFEST, ""))
        if not isinstance(manifest, dict) or not manifest["files"].keys() <= listing.keys():
            return False
        return all(self._has(md5) for md5 in listing.values())

    def _has(self, md5: str) -> bool:
        if md5 not in self._hashed:
            self._hashed[md5] = any(md5_of(file) == md5 for file in self._cache.paths(md5))
        return self._hashed[md5]
