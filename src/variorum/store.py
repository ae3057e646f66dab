"""The store: specs, keys, and the results that carry them.

A result is the folder `results/<stage>/<key>/`: complete and immutable, or absent. A stage works in
`scratch/<stage>/<key>/`; publishing syncs its output to disk, writes `manifest.json` as the last
file, and renames the whole folder into place, so that no reader ever sees a part of it. All reading
goes through `Store.open`, which refuses what is not whole.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from variorum.atomic import write_atomically
from variorum.errors import VariorumError
from variorum.locks import FOLDER, exclusive

SCHEMA = 1
"""Part of every key; raised when the way keys are made changes."""

MANIFEST = "manifest.json"
RUN = "run.json"
CODE = "code.json"
COPY = ".manifest.json"
"""A second manifest. Snakemake deletes the declared one, before it runs a job that was forced, and
when a result appeared after it had planned; from the copy the result is whole again."""

VARYING = (RUN, CODE)
"""Files of a result that may differ between places: no manifest lists them."""

SEAL = "sha256"
"""In `run.json`: the hashes of itself and `code.json`, so that damage to them is found as well."""

KEY_LENGTH = 12


class StoreError(VariorumError):
    """A result is missing, damaged, or in the way."""


@dataclass(frozen=True, order=True)
class Ref:
    """The name of a result: `pretrain/3fa9c1d2e4b5`."""

    stage: str
    key: str

    def __str__(self) -> str:
        return f"{self.stage}/{self.key}"

    @classmethod
    def parse(cls, text: str) -> "Ref":
        """`stage/key` as it is written in specs."""
        stage, _, key = text.partition("/")
        return cls(stage, key)


@dataclass(frozen=True)
class Spec:
    """What one result is made from: settings, upstream results, and the fingerprint of the code.

    libraries: versions by name, where an experiment asks for `strict_libraries`; else empty.
    """

    stage: str
    settings: Mapping[str, Any]
    upstream: Mapping[str, Ref]
    code: str
    libraries: Mapping[str, str] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """Plain data, of which the key is the hash."""
        data = {
            "schema": SCHEMA,
            "stage": self.stage,
            "settings": dict(self.settings),
            "upstream": {name: str(ref) for name, ref in self.upstream.items()},
            "code": self.code,
        }
        return {**data, "libraries": dict(self.libraries)} if self.libraries else data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Spec":
        """The inverse of `as_data`."""
        upstream = {name: Ref.parse(ref) for name, ref in data["upstream"].items()}
        libraries = data.get("libraries", {})
        return cls(data["stage"], data["settings"], upstream, data["code"], libraries)

    @property
    def ref(self) -> Ref:
        """The result that this spec makes."""
        digest = hashlib.sha256(canonical_json(self.as_data()).encode()).hexdigest()
        return Ref(self.stage, digest[:KEY_LENGTH])


def canonical_json(data: Any) -> str:
    """JSON that is equal for equal data: sorted names, no spaces, no NaN.

    Raises `TypeError` for anything that JSON does not hold by itself.
    """
    _refuse_foreign(data, "$")
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _refuse_foreign(data: Any, place: str) -> None:
    if isinstance(data, dict):
        for name, value in data.items():
            if type(name) is not str:
                raise TypeError(f"{place}: the name {name!r} is {type(name).__name__}, not text")
            _refuse_foreign(value, f"{place}.{name}")
    elif isinstance(data, list):
        for index, value in enumerate(data):
            _refuse_foreign(value, f"{place}[{index}]")
    elif data is not None and type(data) not in (str, int, float, bool):
        raise TypeError(f"{place}: {type(data).__name__} has no canonical form")


def readable_json(data: Any) -> str:
    """JSON for people: sorted names, two spaces, a final newline."""
    return json.dumps(data, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def sealed(run: Mapping[str, Any], code_sha256: str) -> dict[str, Any]:
    """The content of `run.json` with its seal: the hash of `code.json`, and of all else in itself.

    A seal that `run` has is replaced.
    """
    whole = {**run, SEAL: {CODE: code_sha256}}
    own = hashlib.sha256(readable_json(whole).encode()).hexdigest()
    return {**run, SEAL: {CODE: code_sha256, RUN: own}}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; what a link leads to does not count."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(file.lstat().st_size for file in files)


@dataclass(frozen=True)
class Result:
    """A complete result, open for reading."""

    ref: Ref
    folder: Path
    manifest: Mapping[str, Any]

    def file(self, name: str) -> Path:
        """Path of one of its files; raises `StoreError` if the manifest lists no such file."""
        if name not in self.manifest["files"]:
            raise StoreError(
                f"{self.folder}: the result holds no {name}, only "
                f"{', '.join(sorted(self.manifest['files']))}"
            )
        return self.folder / name

    def json(self, name: str) -> Any:
        """One of its files, parsed."""
        return json.loads(self.file(name).read_text(encoding="utf-8"))

    @property
    def spec(self) -> Spec:
        """What it was made from."""
        return Spec.from_data(self.manifest["spec"])

    @property
    def run(self) -> dict[str, Any]:
        """Where, when and how long it ran; empty if that was not kept, or is cut off."""
        return self._varying(RUN)

    @property
    def code(self) -> dict[str, str]:
        """The source that it was made by, by definition; empty if not kept, or cut off."""
        return self._varying(CODE)

    @property
    def adopted(self) -> Mapping[str, Any] | None:
        """How an older result came to serve this spec; None for one that was made from it."""
        return self.manifest.get("adopted")

    @property
    def n_bytes(self) -> int:
        """Size of its files."""
        return sum(entry["bytes"] for entry in self.manifest["files"].values())

    def damaged_file(self) -> str | None:
        """One of its files that is missing or not, byte for byte, what the manifest lists."""
        return _damaged_file(self.folder, self.manifest["files"])

    def _varying(self, name: str) -> dict[str, Any]:
        try:
            facts = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # they may be gone or cut off; no number needs them
            return {}
        return facts if isinstance(facts, dict) else {}


@dataclass(frozen=True)
class Store:
    """The results of the project at `root`, and the scratch folder beside them."""

    root: Path

    def folder(self, ref: Ref) -> Path:
        """Where the result lies, or would."""
        return self.root / "results" / ref.stage / ref.key

    def pin(self, ref: Ref) -> Path:
        """Where the `.dvc` file of the result lies, or would."""
        return self.folder(ref).with_name(f"{ref.key}.dvc")

    def scratch(self, ref: Ref) -> Path:
        """Where the stage that makes it works; survives a kill."""
        return self.root / "scratch" / ref.stage / ref.key

    def exists(self, ref: Ref) -> bool:
        """Whether the result is complete. Raises `StoreError` if it is there but damaged."""
        folder = self.folder(ref)
        if not (folder / MANIFEST).exists():
            return False
        self.open(ref)
        return True

    def open(self, ref: Ref) -> Result:
        """The result, if it is whole; raises `StoreError` that says what is missing where."""
        folder = self.folder(ref)
        result = Result(ref, folder, self._manifest(ref))
        for name, entry in result.manifest["files"].items():
            path = folder / name
            size = path.stat().st_size if path.is_file() else None
            if size != entry["bytes"]:
                found = "is missing" if size is None else f"has {size:,} bytes"
                raise StoreError(
                    f"{self._shown(path)} {found}, its manifest says {entry['bytes']:,} bytes: "
                    f"{self.remedy(ref)}"
                )
        return result

    def glance(self, ref: Ref) -> Result:
        """The result as its manifest tells of it; whether its files are whole is not looked at.

        Raises `StoreError` without a manifest.
        """
        return Result(ref, self.folder(ref), self._manifest(ref))

    def _manifest(self, ref: Ref) -> Any:
        path = self.folder(ref) / MANIFEST
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            if Spec.from_data(manifest["spec"]).ref != ref or "files" not in manifest:
                raise StoreError(f"{self._shown(path)} belongs to another spec: {self.remedy(ref)}")
        except FileNotFoundError:
            shown = self._shown(path)
            raise StoreError(
                f"{shown} does not exist: there is no complete result {ref}; make it with "
                f"`snakemake --cores 4 {shown}`, or fetch it with `dvc pull`"
            ) from None
        except (ValueError, KeyError, TypeError):
            by_copy = "delete it, and the next run restores it from the copy beside it, or "
            remedy = (by_copy if self._has_copy(ref) else "") + self.remedy(ref)
            raise StoreError(
                f"{self._shown(path)} is cut off or not a manifest: {remedy}"
            ) from None
        return manifest

    def _shown(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def remedy(self, ref: Ref) -> str:
        """What to do about a damaged result, as the end of a message."""
        folder = self._shown(self.folder(ref))
        target = f"{folder}/{MANIFEST}"
        again = f"move {folder} away and run `snakemake --cores 4 {target}` to make it again"
        if not self.pin(ref).is_file():
            return again
        pin = self._shown(self.pin(ref))
        return f"restore it with `dvc checkout --force {pin}`, or {again}"

    def refs(self, stage: str | None = None) -> Iterator[Ref]:
        """Every result that has a manifest, sorted."""
        for manifest in sorted(self.root.glob(f"results/{stage or '*'}/*/{MANIFEST}")):
            yield Ref(manifest.parent.parent.name, manifest.parent.name)

    def locked(
        self, ref: Ref, wait: Callable[[], None] | None = None
    ) -> AbstractContextManager[None]:
        """Hold the key: of two processes that want one result, the second waits.

        `wait` is called once before waiting.
        """
        return exclusive(self.root / FOLDER / f"{ref.stage}-{ref.key}", wait)

    def publish(
        self,
        spec: Spec,
        output: Path,
        inputs: Mapping[str, Result],
        varying: Mapping[str, Any],
        adopted: Mapping[str, Any] | None = None,
    ) -> Result:
        """Make the files in `output` the result of `spec`; the caller holds its lock.

        `varying` are the contents of `run.json` and `code.json`; `adopted` tells how files that
        an older spec made come to serve this one. An existing result is left as it is and returned.
        """
        if self.exists(spec.ref):
            return self.open(spec.ref)
        manifest = manifest_of(spec, output, inputs)
        if adopted is not None:
            manifest["adopted"] = dict(adopted)
        (output / CODE).write_text(readable_json(varying[CODE]), encoding="utf-8")
        run = sealed(varying[RUN], sha256_of(output / CODE))
        (output / RUN).write_text(readable_json(run), encoding="utf-8")
        for name in (COPY, MANIFEST):
            (output / name).write_text(readable_json(manifest), encoding="utf-8")
        self._put_in_place(spec.ref, output)
        return self.open(spec.ref)

    def healable(self, ref: Ref) -> bool:
        """Whether nothing but a result's manifest seems to be missing."""
        folder = self.folder(ref)
        return (folder / COPY).is_file() and not (folder / MANIFEST).exists()

    def _has_copy(self, ref: Ref) -> bool:
        """Whether the second manifest is readable and of this result."""
        try:
            manifest = json.loads((self.folder(ref) / COPY).read_text(encoding="utf-8"))
            return Spec.from_data(manifest["spec"]).ref == ref
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def heal(self, ref: Ref) -> bool:
        """Put a deleted manifest back if everything else of the result is intact.

        The caller holds its lock. Tells whether the result is complete now.
        """
        if not self.healable(ref):
            return self.exists(ref)
        folder = self.folder(ref)
        content = (folder / COPY).read_bytes()
        whole = _holds_what_it_lists(folder, content)
        if whole:
            write_atomically(folder / MANIFEST, content)
        return whole

    def restore(self, ref: Ref, copy: Mapping[str, Path]) -> Result:
        """Put a copy of a result in its place, through the same door as a new one.

        `copy` tells for each file where its copy lies. Raises `StoreError` if one is damaged.
        """
        with self.locked(ref):
            if self.exists(ref):
                return self.open(ref)
            output = self.scratch(ref) / "restored"
            shutil.rmtree(output, ignore_errors=True)
            for name, file in copy.items():
                (output / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, output / name)
            manifest = output / MANIFEST
            if not (manifest.is_file() and _holds_what_it_lists(output, manifest.read_bytes())):
                shutil.rmtree(output)
                raise StoreError(f"the copy of {ref} is damaged")
            self._put_in_place(ref, output)
        return self.open(ref)

    def _put_in_place(self, ref: Ref, output: Path) -> None:
        for path in (*sorted(output.rglob("*")), output):
            _sync(path)
        target = self.folder(ref)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.set_aside(ref)
        output.rename(target)
        _sync(target.parent)
        shutil.rmtree(self.scratch(ref), ignore_errors=True)

    def set_aside(self, ref: Ref) -> None:
        """Move what lies in a result's place, and is no result, away; nothing is deleted."""
        target = self.folder(ref)
        if not target.exists():
            return
        try:
            target.rmdir()  # Snakemake makes the folder before the stage runs
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            aside = self.root / "scratch" / "aside" / str(ref)
            while aside.exists():
                aside = aside.with_name(aside.name + "-")
            aside.parent.mkdir(parents=True, exist_ok=True)
            target.rename(aside)


def _holds_what_it_lists(folder: Path, manifest: bytes) -> bool:
    """Whether every file that a manifest lists lies in a folder, with the same bytes."""
    try:
        files = json.loads(manifest)["files"]
    except (ValueError, KeyError, TypeError):
        return False
    return _damaged_file(folder, files) is None


def _damaged_file(folder: Path, files: Mapping[str, Any]) -> str | None:
    for name, entry in files.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != entry["sha256"]:
            return name
    return None


def listed(output: Path) -> list[Path]:
    """The files of a result that its manifest lists: those that every making of it has."""
    return [
        path
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name not in (*VARYING, COPY) and path != output / MANIFEST
    ]


def manifest_of(spec: Spec, output: Path, inputs: Mapping[str, Result]) -> dict[str, Any]:
    """The manifest: the spec, every file that came out, and the manifests of what went in."""
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
    """The SHA-256 by which a result's manifest is noted in what is made from it.

    It leaves out how the result was adopted: one that its spec makes later serves as well. Of one
    that was not adopted it is the hash of the file.
    """
    made = {name: part for name, part in manifest.items() if name != "adopted"}
    return hashlib.sha256(readable_json(made).encode()).hexdigest()


def _sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
