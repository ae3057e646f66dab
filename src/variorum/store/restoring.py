"""Restore missing results from bundles and from DVC's cache.

Evaluations, stress tests and figures are small and many. They travel inside the report or table
that uses them (`bundle/`), and are restored from there.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from variorum.base.progress import say
from variorum.identity.spec import Ref
from variorum.store.dvc_cache import DvcCache, md5_of, pinned_by
from variorum.store.records import restore_run_info
from variorum.store.result import MANIFEST, StoreError
from variorum.store.store import Store

BUNDLE = "bundle"


class Planned(Protocol):
    """Describe a planned result and what it is made from."""

    @property
    def ref(self) -> Ref:
        """Return the reference of its spec."""

    @property
    def upstream(self) -> Mapping[str, "Planned"]:
        """Return the planned results that it needs, by role."""


def bundle(store: Store, refs: list[Ref], output: Path) -> None:
    """Copy whole results into the output of the report or table that uses them."""
    for ref in refs:
        target = output / BUNDLE / str(ref)
        shutil.copytree(store.folder(ref), target, copy_function=shutil.copyfile)


def bundled(store: Store) -> dict[Ref, Path]:
    """Return the folder of every result in the bundle of a report or table."""
    found = {}
    for manifest in store.root.glob(f"results/*/*/{BUNDLE}/*/*/{MANIFEST}"):
        found[Ref(*manifest.parts[-3:-1])] = manifest.parent
    return found


def holds(store: Store) -> Callable[[Ref], bool]:
    """Return a check whether a result is complete here, or `restore_results` would find it."""
    in_bundles, cache = bundled(store), DvcCache(store.root)
    return lambda ref: (
        store.exists(ref) or ref in in_bundles or cached_files(store, ref, cache) is not None
    )


@dataclass(frozen=True)
class Copy:
    """Describe a local copy of a result: files by name; folder of a bundle."""

    files: Mapping[str, Path]
    bundle: Path | None = None


def restorable(store: Store, wanted: Iterable[Planned]) -> dict[Ref, Copy]:
    """Return the copies that `restore_results` would use for `wanted`."""
    found: dict[Ref, Copy] = {}

    def note(ref: Ref, copy: Copy) -> bool:
        found[ref] = copy
        return True

    _walk(store, wanted, note)
    return found


def restore_results(store: Store, wanted: Iterable[Planned]) -> None:
    """Restore what `wanted` results need, from bundles and from DVC's cache.

    The inputs of a result that is complete or restored are not needed. The bundles of the wanted
    results themselves are always restored.
    """
    wanted = list(wanted)
    taken: list[Ref] = []

    def restore(ref: Ref, copy: Copy) -> bool:
        if copy.bundle is not None:
            return _restored(store, ref, copy.files, copy.bundle)
        if done := _taken(store, ref, copy.files):
            taken.append(ref)
        return done

    _walk(store, wanted, restore)
    if taken:
        say(f"results restored from DVC's cache: {len(taken)}")
    for node in wanted:
        if store.exists(node.ref):
            _unbundle(store, node.ref)
    restore_run_info(store)


def _walk(store: Store, wanted: Iterable[Planned], take: Callable[[Ref, Copy], bool]) -> None:
    """Offer copies of each missing result; if none is taken, visit its inputs."""
    in_bundles, cache = bundled(store), DvcCache(store.root)
    seen: set[Ref] = set()

    def copies(ref: Ref) -> Iterator[Copy]:
        if folder := in_bundles.get(ref):
            yield Copy(_files_in(folder), folder)
        if files := cached_files(store, ref, cache):
            yield Copy(files)

    def visit(node: Planned) -> None:
        if node.ref in seen or store.exists(node.ref):
            return
        seen.add(node.ref)
        if not any(take(node.ref, copy) for copy in copies(node.ref)):
            for needed in node.upstream.values():
                visit(needed)

    for node in wanted:
        visit(node)


def _files_in(folder: Path) -> dict[str, Path]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file for file in files}


def _restored(store: Store, ref: Ref, files: Mapping[str, Path], folder: Path) -> bool:
    """Restore a result from a bundle's copy; return whether that worked."""
    try:
        store.restore(ref, files)
    except StoreError as error:
        say(f"{folder.relative_to(store.root)}: {error}; it is left where it is")
        return False
    return True


def _taken(store: Store, ref: Ref, files: Mapping[str, Path]) -> bool:
    """Restore a result from DVC's cache; return whether that worked.

    Damaged files are deleted from the cache. DVC's own checkout writes into the result's folder,
    where a kill would leave a part of it, and does not wait for another DVC.
    """
    try:
        store.restore(ref, files)
    except StoreError:
        for file in files.values():
            if file.is_file() and md5_of(file) != file.parent.name + file.name:
                file.unlink()
        say(f"{ref} is damaged in DVC's cache: it is made again")
        return False
    return True


def _unbundle(store: Store, ref: Ref) -> None:
    """Restore the missing results in the bundle of `ref`."""
    for manifest in sorted((store.folder(ref) / BUNDLE).glob(f"*/*/{MANIFEST}")):
        inner = Ref(*manifest.parts[-3:-1])
        if not store.exists(inner):
            _restored(store, inner, _files_in(manifest.parent), manifest.parent)


def cached_files(store: Store, ref: Ref, cache: DvcCache) -> dict[str, Path] | None:
    """Return DVC's copies of a result's files, by name; None unless all are cached.

    The shared pin counts first, then this clone's own.
    """
    found = (pinned_files(pin, cache) for pin in (store.pin(ref), store.own_pin(ref)))
    return next((files for files in found if files is not None), None)


def pinned_files(pin: Path, cache: DvcCache) -> dict[str, Path] | None:
    """Return DVC's copies of the files that are pinned; None unless all are cached."""
    md5 = pinned_by(pin)
    listing = None if md5 is None else cache.listing(md5)
    if listing is None:
        return None
    files = {name: cache.path(md5) for name, md5 in listing.items()}
    return files if all(file.exists() for file in files.values()) else None
