"""Read complete results and their manifests.

A manifest lists the spec, the hash of every output file, and the manifests of the inputs.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError
from variorum.base.files import sha256_of
from variorum.identity.spec import Ref, Spec

MANIFEST = "manifest.json"
RUN = "run.json"
CODE = "code.json"
COPY = ".manifest.json"
"""A second manifest. Snakemake deletes the declared one before it runs a forced job, and when a
result appeared after it had planned; the copy restores it."""

VARYING = (RUN, CODE)
"""Files of a result that may differ between places: no manifest lists them."""

MADE = "manifest"
"""In `run.json`: the digest of the manifest that it belongs to, as DVC may replace all but it."""

SEAL = "sha256"
"""In `run.json`: the hashes of itself and `code.json`, so that damage to them is found as well."""


class StoreError(VariorumError):
    """Report a result that is missing, damaged, or in the way."""


def readable_json(data: Any) -> str:
    """Return JSON for people: sorted names, two spaces, a final newline."""
    return json.dumps(data, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def sealed(run: Mapping[str, Any], code_sha256: str) -> dict[str, Any]:
    """Return `run.json` with its seal: the hashes of `code.json` and of its own other content.

    An existing seal is replaced.
    """
    whole = {**run, SEAL: {CODE: code_sha256}}
    own = hashlib.sha256(readable_json(whole).encode()).hexdigest()
    return {**run, SEAL: {CODE: code_sha256, RUN: own}}


def size_of(path: Path) -> int:
    """Return the bytes of a file or of a folder's files; links are not followed."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in files)


@dataclass(frozen=True)
class Result:
    """Hold a complete result, open for reading."""

    ref: Ref
    folder: Path
    manifest: Mapping[str, Any]

    def file(self, name: str) -> Path:
        """Return the path of a file; raises `StoreError` if the manifest does not list it."""
        if name not in self.manifest["files"]:
            raise StoreError(
                f"{self.folder}: the result holds no {name}, only "
                f"{', '.join(sorted(self.manifest['files']))}"
            )
        return self.folder / name

    def json(self, name: str) -> Any:
        """Return one of its JSON files, parsed."""
        return json.loads(self.file(name).read_text(encoding="utf-8"))

    @property
    def spec(self) -> Spec:
        """Return what it was made from."""
        return Spec.from_data(self.manifest["spec"])

    @property
    def run(self) -> dict[str, Any]:
        """Return where, when and how long it ran; empty if not known."""
        run = self._varying(RUN)
        return run if MADE not in run or run[MADE] == manifest_digest(self.manifest) else {}

    @property
    def code(self) -> dict[str, str]:
        """Return the source of its code, by definition; empty if missing or cut off."""
        return self._varying(CODE)

    @property
    def adopted(self) -> Mapping[str, Any] | None:
        """Return how an older result came to serve this spec; None if not adopted."""
        return self.manifest.get("adopted")

    def damaged_file(self) -> str | None:
        """Return the name of a missing or changed file; None if all match."""
        return damaged_file(self.folder, self.manifest["files"])

    def _varying(self, name: str) -> dict[str, Any]:
        try:
            facts = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # they may be gone or cut off; no number needs them
            return {}
        return facts if isinstance(facts, dict) else {}


def holds_what_it_lists(folder: Path, manifest: bytes) -> bool:
    """Check whether a folder holds every file of a manifest, with the same bytes."""
    try:
        files = json.loads(manifest)["files"]
    except (ValueError, KeyError, TypeError):
        return False
    return damaged_file(folder, files) is None


def damaged_file(folder: Path, files: Mapping[str, Any]) -> str | None:
    """Return the name of a missing or changed file; None if all match."""
    for name, entry in files.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != entry["sha256"]:
            return name
    return None


def is_listed(name: str) -> bool:
    """Check whether a manifest lists a file of this name, also inside of a bundle."""
    return name != MANIFEST and name.rpartition("/")[2] not in (*VARYING, COPY)


def listed(output: Path) -> list[Path]:
    """Return the files of a result that its manifest lists, sorted."""
    files = (path for path in sorted(output.rglob("*")) if path.is_file())
    return [path for path in files if is_listed(path.relative_to(output).as_posix())]


def manifest_of(spec: Spec, output: Path, inputs: Mapping[str, Result]) -> dict[str, Any]:
    """Return the manifest: the spec, the output files, and the inputs' manifests."""
    files = {
        path.relative_to(output).as_posix(): {
            "sha256": sha256_of(path),
            "bytes": path.stat().st_size,
        }
        for path in listed(output)
    }
    return {
        "key": spec.ref.key,
        "spec": spec.as_data(),
        "files": files,
        "inputs": {
            name: {
                "result": str(result.ref),
                "manifest_sha256": manifest_digest(result.manifest),
                "files": dict(result.manifest["files"]),
            }
            for name, result in sorted(inputs.items())
        },
    }


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest, which the manifests of later results record.

    It excludes `adopted`, so an adopted result and one that its spec makes later have the same.
    Without `adopted` it is the hash of the file.
    """
    made = {name: part for name, part in manifest.items() if name != "adopted"}
    return hashlib.sha256(readable_json(made).encode()).hexdigest()
