"""What DVC has stored of the results, as far as can be seen from here.

A result is stored if a `.dvc` file that some branch, tag or the like has committed pins it, and
every byte lies in DVC's cache or in a remote on a disk of this machine. Results that get no `.dvc`
file travel inside a report or table, and are stored with it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from variorum.audit.holdings.trees import Tree, blobs
from variorum.errors import VariorumError
from variorum.store import MANIFEST, Ref, Spec, Store, StoreError
from variorum.tracking import BUNDLE, BUNDLING, OWN_FILE

Listing = Mapping[str, str]
"""A folder as DVC stores it: the MD5 of each file by its path."""

CARRIED = re.compile(f"{BUNDLE}/([^/]+)/([^/]+)/{re.escape(MANIFEST)}")
"""The manifest of a result inside of a report or table."""

UNCOMMITTED = "its .dvc file is committed on no branch"
DIFFERS = "DVC has stored other bytes of it"


class Vault:
    """DVC's copies of the results of the project at `root`, by the `.dvc` files of these trees."""

    def __init__(self, root: Path, trees: Iterable[Tree]) -> None:
        self._root = root
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
        folder = Store(self._root).folder(ref)
        here = _md5(folder / MANIFEST)
        return None if any(listing.get(MANIFEST) == here for listing in listings) else DIFFERS

    def lacks_pin(self, ref: Ref) -> str | None:
        """Why the `.dvc` file here is not in git; None if it is."""
        here = Store(self._root).folder(ref).with_name(f"{ref.key}.dvc").read_bytes()
        committed = {self._blobs[blob] for blob in self._pins.get(ref, ())}
        return None if here in committed else UNCOMMITTED

    def _lacks_in_bundles(self, ref: Ref) -> str | None:
        stored = self._bundled.get(ref, set())
        if not stored:
            return "no report or table that DVC has stored carries it"
        here = _md5(Store(self._root).folder(ref) / MANIFEST)
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
            found = self._json(listing.get(MANIFEST, ""))
            if isinstance(found, dict):
                return found
        return None

    def upstream(self, ref: Ref) -> list[Ref] | None:
        """What a result was made from, by its manifest here or by DVC's; None if there is none."""
        try:
            return list(Store(self._root).glance(ref).spec.upstream.values())
        except StoreError:
            manifest = self.manifest(ref)
        return list(Spec.from_data(manifest["spec"]).upstream.values()) if manifest else None

    def _listings(self, ref: Ref) -> list[Listing]:
        """Every folder that a committed `.dvc` file pins as this result, if DVC has its listing."""
        found: list[Listing] = []
        for blob in sorted(self._pins.get(ref, ())):
            entries = self._json(_pinned(self._blobs[blob]))
            if isinstance(entries, list):
                found.append({entry["relpath"]: entry["md5"] for entry in entries})
        return found

    @cached_property
    def _blobs(self) -> dict[str, bytes]:
        return blobs(self._root, sorted(set().union(*self._pins.values())))

    def _is_whole(self, listing: Listing) -> bool:
        """Whether DVC has every file that the manifest lists, and each of them undamaged."""
        manifest = self._json(listing.get(MANIFEST, ""))
        if not isinstance(manifest, dict) or not manifest["files"].keys() <= listing.keys():
            return False
        return all(self._has(md5) for md5 in listing.values())

    def _has(self, md5: str) -> bool:
        if md5 not in self._hashed:
            self._hashed[md5] = any(_md5(file) == md5 for file in self._files(md5))
        return self._hashed[md5]

    def _json(self, md5: str) -> Any:
        """A file of DVC's, parsed; None if there is no whole one."""
        for file in self._files(md5):
            try:
                content = file.read_bytes()
                if hashlib.md5(content).hexdigest() == md5.removesuffix(".dir"):
                    return json.loads(content)
            except (OSError, ValueError):
                continue
        return None

    def _files(self, md5: str) -> list[Path]:
        return [place / md5[:2] / md5[2:] for place in self._places] if md5 else []

    @cached_property
    def _places(self) -> list[Path]:
        """Folders that hold DVC's files: its cache, and its remote if that lies on a disk here."""
        from dvc.config import Config, ConfigError  # a moment for those who need it

        if not (self._root / ".dvc").is_dir():
            return []
        try:
            config = Config(str(self._root / ".dvc"))
        except ConfigError as error:
            raise VariorumError(f".dvc/config: {error}; mend it") from None
        places = [config["cache"].get("dir") or self._root / ".dvc/cache"]
        remote = config["remote"].get(config["core"].get("remote"), {})
        if "://" not in remote.get("url", "://"):
            places.append(remote["url"])
        return [Path(place) / "files/md5" for place in places]


def _md5(file: Path) -> str:
    """MD5 of a file, by which DVC knows it; "" if there is none."""
    if not file.is_file():
        return ""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "md5").hexdigest()


def _pinned(content: bytes) -> str:
    """The MD5 that a `.dvc` file pins; "" if it is none."""
    try:
        return str(YAML(typ="safe").load(content.decode())["outs"][0]["md5"])
    except (YAMLError, ValueError, KeyError, TypeError, IndexError):
        return ""
