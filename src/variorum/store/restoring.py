"""Puts results in place that this machine holds elsewhere: in bundles, and in DVC's cache.

Evaluations, stress tests and figures are small and many. They travel inside the report or table
that stands on them (`bundle/`), and are put in place from there.
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
    """A planned result and what it is made from."""

    @property
    def ref(self) -> Ref:
        """Return the reference that its spec leads to."""

    @property
    def upstream(self) -> Mapping[str, "Planned"]:
        """Return the planned results that it needs, by their roles."""


def bundle(store: Store, refs: list[Ref], output: Path) -> None:
    """Copy whole results into the output of the report or table that stands on them."""
    for ref in refs:
        target = output / BUNDLE / str(ref)
        shutil.copytree(store.folder(ref), target, copy_function=shutil.copyfile)


def bundled(store: Store) -> dict[Ref, Path]:
    """Every result that lies in the bundle of a report or table, and where."""
    found = {}
    for manifest in store.root.glob(f"results/*/*/{BUNDLE}/*/*/{MANIFEST}"):
        found[Ref(*manifest.parts[-3:-1])] = manifest.parent
    return found


def holds(store: Store) -> Callable[[Ref], bool]:
    """Tell whether this machine has a result: in place, or where `restore_results` finds it."""
    in_bundles, cache = bundled(store), DvcCache(store.root)
    return lambda ref: (
        store.exists(ref) or ref in in_bundles or cached_files(store, ref, cache) is not None
    )


@dataclass(frozen=True)
class Copy:
    """A copy of a result that this machine holds: its files by name; its folder if in a bundle."""

    files: Mapping[str, Path]
    bundle: Path | None = None


def restorable(store: Store, wanted: Iterable[Planned]) -> dict[Ref, Copy]:
    """Return what `restore_results` would put in place for `wanted`, and from where."""
    found: dict[Ref, Copy] = {}

    def note(ref: Ref, copy: Copy) -> bool:
        found[ref] = copy
        return True

    _walk(store, wanted, note)
    return found


def restore_results(store: Store, wanted: Iterable[Planned]) -> None:
    """Put in place what `wanted` need and this machine holds: from bundles and DVC's cache.

    What stands below a result that is here, or comes back, is not needed for it. What travels in
    the bundles of the wanted ones themselves is always put in place.
    """
    wanted = list(wanted)
    taken: list[Ref] = []

    def put_in_place(ref: Ref, copy: Copy) -> bool:
        if copy.bundle is not None:
            return _restored(store, ref, copy.files, copy.bundle)
        if done := _taken(store, ref, copy.files):
            taken.append(ref)
        return done

    _walk(store, wanted, put_in_place)
    if taken:
        say(f"took {len(taken)} of what was missing out of DVC's cache")
    for node in wanted:
        if store.exists(node.ref):
            _unbundle(store, node.ref)
    restore_run_info(store)


def _walk(store: Store, wanted: Iterable[Planned], take: Callable[[Ref, Copy], bool]) -> None:
    """Offer the copies of each missing result, and go on below one of which none was taken."""
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
    """Whether the copy in a bundle could be put in place."""
    try:
        store.restore(ref, files)
    except StoreError as error:
        say(f"{folder.relative_to(store.root)}: {error}; it is left where it is")
        return False
    return True


def _taken(store: Store, ref: Ref, files: Mapping[str, Path]) -> bool:
    """Whether DVC's copy of a result could be put in place; what is damaged of it is deleted.

    DVC's own checkout writes into the place itself, where a kill would leave a part, and waits for
    no other DVC.
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
    """Put the results that travelled inside `ref` back in place, where they are missing."""
    for manifest in sorted((store.folder(ref) / BUNDLE).glob(f"*/*/{MANIFEST}")):
        inner = Ref(*manifest.parts[-3:-1])
        if not store.exists(inner):
            _restored(store, inner, _files_in(manifest.parent), manifest.parent)


def cached_files(store: Store, ref: Ref, cache: DvcCache) -> dict[str, Path] | None:
    """The files that a result's `.dvc` file pins, by name; None unless DVC's cache has them all."""
    md5 = pinned_by(store.pin(ref))
    listing = None if md5 is None else cache.listing(md5)
    if listing is None:
        return None
    files = {name: cache.path(md5) for name, md5 in listing.items()}
    return files if all(file.exists() for file in files.values()) else None
