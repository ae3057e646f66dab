"""Open results, and publish new ones atomically.

A result is the folder `results/<stage>/<key>/`: complete and immutable, or absent. A stage works in
`scratch/<stage>/<key>/`; publishing syncs its output to disk, writes `manifest.json` as the last
file, and renames the whole folder into place, so that no reader ever sees a part of it. All reading
goes through `Store.open`, which refuses damaged results.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from variorum.base.atomic import write_atomically
from variorum.base.counts import counted
from variorum.base.files import sha256_of
from variorum.base.locks import FOLDER, exclusive
from variorum.identity.spec import Ref, Spec
from variorum.store.result import (
    CODE,
    COPY,
    MADE,
    MANIFEST,
    RUN,
    Result,
    StoreError,
    holds_what_it_lists,
    manifest_digest,
    manifest_of,
    readable_json,
    sealed,
)

OWN_PINS = "scratch/pins"
"""Folder of the `.dvc` files of results that this clone made."""


@dataclass(frozen=True)
class Store:
    """Locate the results of the project at `root`, and their scratch folders."""

    root: Path

    def folder(self, ref: Ref) -> Path:
        """Return the folder of a result, whether it exists or not."""
        return self.root / "results" / ref.stage / ref.key

    def pin(self, ref: Ref) -> Path:
        """Return the path of a result's shared `.dvc` file, whether it exists or not."""
        return self.folder(ref).with_name(f"{ref.key}.dvc")

    def own_pin(self, ref: Ref) -> Path:
        """Return the path of its `.dvc` file for this clone alone, which git ignores."""
        return self.root / OWN_PINS / ref.stage / f"{ref.key}.dvc"

    def scratch(self, ref: Ref) -> Path:
        """Return the folder where its stage works; it survives a kill."""
        return self.root / "scratch" / ref.stage / ref.key

    def exists(self, ref: Ref) -> bool:
        """Check whether a result is complete; raises `StoreError` if it is damaged."""
        folder = self.folder(ref)
        if not (folder / MANIFEST).exists():
            return False
        self.open(ref)
        return True

    def open(self, ref: Ref) -> Result:
        """Return a complete result; raises `StoreError` that says what is missing where."""
        folder = self.folder(ref)
        result = Result(ref, folder, self._manifest(ref))
        for name, entry in result.manifest["files"].items():
            path = folder / name
            size = path.stat().st_size if path.is_file() else None
            if size != entry["bytes"]:
                found = "is missing" if size is None else f"has {counted(size, 'byte')}"
                raise StoreError(
                    f"{self._shown(path)} {found}, its manifest says "
                    f"{counted(entry['bytes'], 'byte')}: {self.remedy(ref)}"
                )
        return result

    def peek(self, ref: Ref) -> Result:
        """Return a result by its manifest alone, without a check of its files.

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
                f"`snakemake --cores 4 {shown}`, or fetch it with `dvc pull -R results`"
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
        """Return what to do about a damaged result, as the end of a message."""
        folder = self._shown(self.folder(ref))
        target = f"{folder}/{MANIFEST}"
        again = f"move {folder} away and run `snakemake --cores 4 {target}` to make it again"
        if not self.pin(ref).is_file():
            return again
        pin = self._shown(self.pin(ref))
        return f"restore it with `dvc checkout --force {pin}`, or {again}"

    def refs(self, stage: str | None = None) -> Iterator[Ref]:
        """Yield every result that has a manifest, sorted."""
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

        `varying` are the contents of `run.json` and `code.json`; `adopted` says how files that
        an older spec made come to serve this one. An existing result is returned unchanged.
        """
        if self.exists(spec.ref):
            return self.open(spec.ref)
        manifest = manifest_of(spec, output, inputs)
        if adopted is not None:
            manifest["adopted"] = dict(adopted)
        (output / CODE).write_text(readable_json(varying[CODE]), encoding="utf-8")
        told = {**varying[RUN], MADE: manifest_digest(manifest)}
        run = sealed(told, sha256_of(output / CODE))
        (output / RUN).write_text(readable_json(run), encoding="utf-8")
        for name in (COPY, MANIFEST):
            (output / name).write_text(readable_json(manifest), encoding="utf-8")
        self._put_in_place(spec.ref, output)
        return self.open(spec.ref)

    def repairable(self, ref: Ref) -> bool:
        """Check whether a result lacks its manifest but has the copy of it."""
        folder = self.folder(ref)
        return (folder / COPY).is_file() and not (folder / MANIFEST).exists()

    def _has_copy(self, ref: Ref) -> bool:
        """Check whether the second manifest is readable and of this result."""
        try:
            manifest = json.loads((self.folder(ref) / COPY).read_text(encoding="utf-8"))
            return Spec.from_data(manifest["spec"]).ref == ref
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def repair(self, ref: Ref) -> bool:
        """Restore a deleted manifest from its copy if all files are intact.

        The caller holds its lock. Returns whether the result is complete now.
        """
        if not self.repairable(ref):
            return self.exists(ref)
        folder = self.folder(ref)
        content = (folder / COPY).read_bytes()
        whole = holds_what_it_lists(folder, content)
        if whole:
            write_atomically(folder / MANIFEST, content)
        return whole

    def restore(self, ref: Ref, copy: Mapping[str, Path]) -> Result:
        """Publish a copy of a result, checked by its manifest.

        `copy` has the path of each file's copy. Raises `StoreError` if one is damaged.
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
            if not (manifest.is_file() and holds_what_it_lists(output, manifest.read_bytes())):
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
        """Move a folder that is in the way of a result to `scratch/aside/`; delete nothing."""
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


def _sync(path: Path) -> None:
    """Write a file or a folder through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
