"""Read a result's files, by their hashes, and its two manifests.

A manifest cannot hash itself. It is checked by its key, which is the hash of its spec; by its copy
`.manifest.json`; by the format of manifests; and by later results' manifests, which note its hash
(`result.manifest_digest`).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from variorum.base.counts import counted
from variorum.identity.spec import KEY_LENGTH, Ref, Spec, canonical_json
from variorum.store.restoring import BUNDLE
from variorum.store.result import COPY, MANIFEST, is_listed, manifest_digest, readable_json

DIGITS = 12
"""How many digits of a SHA-256 messages show."""

NOT_LISTED = "is listed by no manifest"


@dataclass(frozen=True)
class StoredFile:
    """Hold a file's hash and size; `fault` says why it is unreadable."""

    sha256: str
    n_bytes: int
    fault: str = field(default="", compare=False)


@dataclass(frozen=True)
class NotedInput:
    """Hold what a manifest notes of one input."""

    ref: Ref
    manifest_sha256: str
    files: Mapping[str, StoredFile]


@dataclass(frozen=True)
class Manifest:
    """Hold a readable manifest; `fault` says what is wrong with it alone.

    sha256: of the file. noted_as: hashes by which other results may note it. The earliest results
    noted an adoption by the hash of the file.
    """

    name: str
    sha256: str
    noted_as: frozenset[str]
    spec: Spec
    files: Mapping[str, StoredFile]
    inputs: Mapping[str, NotedInput]
    adopted: Mapping[str, Any] | None
    fault: str = ""


@dataclass(frozen=True)
class ResultCopy:
    """Hold one result, in its folder or inside the report that carries it.

    files: everything that lies there, by its path from `folder`.
    """

    ref: Ref
    folder: Path
    files: Mapping[str, StoredFile]

    def inner(self) -> Iterator["ResultCopy"]:
        """Yield the results that a report or table carries."""
        found: dict[Ref, dict[str, StoredFile]] = {}
        for name, file in self.files.items():
            parts = name.split("/", 3)
            if parts[0] == BUNDLE and len(parts) == 4:
                found.setdefault(Ref(parts[1], parts[2]), {})[parts[3]] = file
        for ref, files in found.items():
            yield ResultCopy(ref, self.folder / BUNDLE / str(ref), files)

    @cached_property
    def manifests(self) -> dict[str, Manifest | str]:
        """Return the manifest and its copy by name; a text says why one is unreadable."""
        return {name: self._manifest(name) for name in (MANIFEST, COPY)}

    def _manifest(self, name: str) -> Manifest | str:
        if name not in self.files:
            return "is missing"
        fault = self.files[name].fault
        return fault or read(self.ref, name, (self.folder / name).read_bytes())

    @property
    def readable(self) -> list[Manifest]:
        """Return the readable ones of its two manifests."""
        return [each for each in self.manifests.values() if isinstance(each, Manifest)]

    def noted(self, digest: str) -> Manifest | None:
        """Return the manifest that others note by this hash."""
        return next((each for each in self.readable if digest in each.noted_as), None)

    def faults(self, manifest: Manifest) -> Iterator[tuple[str, str]]:
        """Yield the files that differ from a manifest, each with what is wrong."""
        for name, expected in manifest.files.items():
            found = self.files.get(name)
            if found is None:
                yield name, f"is missing; its manifest says {counted(expected.n_bytes, 'byte')}"
            elif found.fault:
                yield name, found.fault
            elif found.n_bytes != expected.n_bytes:
                said = f"{counted(found.n_bytes, 'byte')}, its manifest says {expected.n_bytes:,}"
                yield name, f"has {said}"
            elif found.sha256 != expected.sha256:
                hashes = [each.sha256[:DIGITS] for each in (found, expected)]
                yield name, f"has SHA-256 {hashes[0]}…, its manifest says {hashes[1]}…"
        for name in self.files:
            if name not in manifest.files and is_listed(name):
                yield name, NOT_LISTED


def read(ref: Ref, name: str, content: bytes) -> Manifest | str:
    """Read a manifest of the result `ref`; a text says why it is unreadable."""
    try:
        data = json.loads(content)
        spec = Spec.from_data(data["spec"])
        inputs = {
            role: NotedInput(Ref.parse(e["result"]), str(e["manifest_sha256"]), _files(e["files"]))
            for role, e in data["inputs"].items()
        }
        adopted = data.get("adopted")
        if adopted is not None:
            Ref.parse(adopted["from"]), str(adopted["manifest_sha256"])
        files = _files(data["files"])
        digest = hashlib.sha256(canonical_json(data["spec"]).encode()).hexdigest()
        found = Ref(spec.stage, digest[:KEY_LENGTH])
        written = readable_json(data).encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        return "is cut off or not a manifest"
    fault = ""
    if found != ref or data.get("key") != ref.key:
        fault = f"holds the spec of {found}, not of {ref}"
    elif {role: entry.ref for role, entry in inputs.items()} != spec.upstream:
        fault = "notes other inputs than its spec"
    elif written != content:
        fault = "is not written as manifests are"
    digest = hashlib.sha256(content).hexdigest()
    noted_as = frozenset({manifest_digest(data), digest})
    return Manifest(name, digest, noted_as, spec, files, inputs, adopted, fault)


def _files(entries: Mapping[str, Any]) -> dict[str, StoredFile]:
    return {name: StoredFile(str(e["sha256"]), int(e["bytes"])) for name, e in entries.items()}
