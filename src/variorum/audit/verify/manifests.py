"""A result where it lies: its files by their hashes, and its two manifests held against them.

A manifest cannot hash itself. What holds it is its key, which is the hash of its spec; its copy
`.manifest.json`; the one way in which manifests are written; and the manifests of what was made
from the result, which note its hash (`store.manifest_digest`).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from variorum.engines.tracking import BUNDLE, BUNDLING
from variorum.store import (
    COPY,
    KEY_LENGTH,
    MANIFEST,
    VARYING,
    Ref,
    Spec,
    canonical_json,
    manifest_digest,
    readable_json,
)

DIGITS = 12
"""How many digits of a SHA-256 messages show."""


NOT_LISTED = "is listed by no manifest"


@dataclass(frozen=True)
class File:
    """A file's bytes by their hash and number; `fault` says why they could not be read."""

    sha256: str
    n_bytes: int
    fault: str = field(default="", compare=False)


@dataclass(frozen=True)
class Input:
    """What a manifest notes of one result that went in."""

    ref: Ref
    manifest_sha256: str
    files: Mapping[str, File]


@dataclass(frozen=True)
class Manifest:
    """A manifest that can be read; `fault` says what is wrong with it by itself.

    sha256: of the file. noted_as: hashes by which other results may note it; the earliest noted
    that of the file also where it tells of an adoption.
    """

    name: str
    sha256: str
    noted_as: frozenset[str]
    spec: Spec
    files: Mapping[str, File]
    inputs: Mapping[str, Input]
    adopted: Mapping[str, Any] | None
    fault: str = ""


@dataclass(frozen=True)
class Copy:
    """One result, in its own place or inside the report or table that carries it.

    files: everything that lies there, by its path from `folder`.
    """

    ref: Ref
    folder: Path
    files: Mapping[str, File]

    def inner(self) -> Iterator["Copy"]:
        """The results that a report or table carries, as they lie in it."""
        if self.ref.stage not in BUNDLING:
            return
        found: dict[Ref, dict[str, File]] = {}
        for name, file in self.files.items():
            parts = name.split("/", 3)
            if parts[0] == BUNDLE and len(parts) == 4:
                found.setdefault(Ref(parts[1], parts[2]), {})[parts[3]] = file
        for ref, files in found.items():
            yield Copy(ref, self.folder / BUNDLE / str(ref), files)

    def is_listed(self, name: str) -> bool:
        """Whether a manifest has to list a file of this name."""
        own = name.split("/")
        carried = self.ref.stage in BUNDLING and own[0] == BUNDLE and len(own) == 4
        if carried:
            return own[3] not in (COPY, *VARYING)
        return name not in (MANIFEST, COPY, *VARYING)

    def manifest(self, name: str) -> Manifest | str | None:
        """Its manifest or the copy of that; a text says why it is none, None that there is none."""
        if name not in self.files:
            return None
        if self.files[name].fault:
            return self.files[name].fault
        return read(self.ref, name, (self.folder / name).read_bytes())

    def faults(self, manifest: Manifest) -> Iterator[tuple[str, str]]:
        """Files that are not what a manifest says of them, each with what is wrong."""
        for name, expected in manifest.files.items():
            found = self.files.get(name)
            if found is None:
                yield name, f"is missing; its manifest says {expected.n_bytes:,} bytes"
            elif found.fault:
                yield name, found.fault
            elif found.n_bytes != expected.n_bytes:
                yield (
                    name,
                    f"has {found.n_bytes:,} bytes, its manifest says {expected.n_bytes:,}",
                )
            elif found.sha256 != expected.sha256:
                yield (
                    name,
                    f"has SHA-256 {found.sha256[:DIGITS]}…, its manifest says "
                    f"{expected.sha256[:DIGITS]}…",
                )
        for name in self.files:
            if name not in manifest.files and self.is_listed(name):
                yield name, NOT_LISTED


def read(ref: Ref, name: str, content: bytes) -> Manifest | str:
    """A manifest of the result `ref`; a text says why it is none."""
    try:
        data = json.loads(content)
        spec = Spec.from_data(data["spec"])
        key = hashlib.sha256(canonical_json(data["spec"]).encode()).hexdigest()[:KEY_LENGTH]
        files = _files(data["files"])
        inputs = {role: _input(entry) for role, entry in data["inputs"].items()}
        adopted = data.get("adopted")
        if adopted is not None:
            Ref.parse(adopted["from"]), str(adopted["manifest_sha256"])
        written = readable_json(data).encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        return "is cut off or not a manifest"
    fault = ""
    if (spec.stage, key) != (ref.stage, ref.key) or data.get("key") != ref.key:
        fault = f"holds the spec of {spec.stage}/{key}, not of {ref}"
    elif {role: entry.ref for role, entry in inputs.items()} != spec.upstream:
        fault = "notes other inputs than its spec"
    elif written != content:
        fault = "is not written as manifests are"
    digest = hashlib.sha256(content).hexdigest()
    noted_as = frozenset({manifest_digest(data), digest})
    return Manifest(name, digest, noted_as, spec, files, inputs, adopted, fault)


def _input(entry: Mapping[str, Any]) -> Input:
    return Input(Ref.parse(entry["result"]), str(entry["manifest_sha256"]), _files(entry["files"]))


def _files(entries: Mapping[str, Any]) -> dict[str, File]:
    return {name: File(str(e["sha256"]), int(e["bytes"])) for name, e in entries.items()}
