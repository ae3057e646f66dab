"""Share results: put their `.dvc` files where git and DVC look, and stage them.

A key says what was asked; bytes belong to a platform. So a `.dvc` file that any commit holds is
never changed without a word that says so, and what was made from other bytes is not shared either:
what git holds always fits together.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from variorum.base.atomic import write_atomically
from variorum.base.errors import VariorumError
from variorum.base.files import sha256_of
from variorum.base.git import git
from variorum.identity.spec import Ref
from variorum.store.committed import committed_pins, contents
from variorum.store.dvc_cache import DvcCache, pinned, pinned_by
from variorum.store.dvc_files import store_bytes
from variorum.store.records import new_records
from variorum.store.result import MANIFEST, StoreError, manifest_digest
from variorum.store.store import Store
from variorum.store.tracking import is_repository, pin_of, pinning, store_new


@dataclass
class Shared:
    """Hold what was shared.

    new: results whose `.dvc` file was written. present: results that git held already. differing:
    results of which git holds other bytes. above: results that were made from those, by result.
    unstored: results that DVC could not store. records: those whose `.dvc` file was written, which
    tell where results were made.
    """

    new: list[Ref] = field(default_factory=list)
    present: list[Ref] = field(default_factory=list)
    differing: list[Ref] = field(default_factory=list)
    above: dict[Ref, Ref] = field(default_factory=dict)
    unstored: list[Ref] = field(default_factory=list)
    records: list[Path] = field(default_factory=list)


def share(
    store: Store, refs: Iterable[Ref], stages: Collection[str], *, replace: bool = False
) -> Shared:
    """Write and stage the `.dvc` files of these results, which come upstream first.

    Missing results are skipped. Only results of `stages` have such files. With `replace` the
    results here replace those that git holds. Raises `VariorumError` without repositories, or in an
    unfinished merge.
    """
    if not is_repository(store.root):
        raise VariorumError(
            f"{store.root} is no git and DVC repository, so nothing can be shared; "
            "`git init` and `dvc init` make it one"
        )
    _refuse_unmerged(store.root)
    with pinning(store.root):
        store_new(store, stages)
        return _share(store, refs, stages, replace=replace)


def _share(store: Store, refs: Iterable[Ref], stages: Collection[str], *, replace: bool) -> Shared:
    refs = [ref for ref in refs if (store.folder(ref) / MANIFEST).is_file()]
    found = Shared()
    texts = dict(_texts(store, (ref for ref in refs if ref.stage in stages)))
    held = _held(store, texts)
    for ref in refs:
        other = next(_other_inputs(store, ref, {*found.differing, *found.above}), None)
        if other is not None and not _is_held(texts, held, ref):
            found.above[ref] = found.above.get(other, other)
        elif ref.stage not in stages:
            continue
        elif ref not in texts:
            found.unstored.append(ref)
        elif held[ref] and not _is_held(texts, held, ref) and not replace:
            found.differing.append(ref)
        else:
            (found.present if _holds(store.pin(ref), texts[ref]) else found.new).append(ref)
    pins = {store.pin(ref): texts[ref] for ref in (*found.new, *found.present)}
    found.records = new_records(store.root) if pins else []
    for record, text in list(store_bytes(store.root, found.records)) if found.records else ():
        pins[record.with_name(f"{record.name}.dvc")] = text
    for pin, text in pins.items():
        if not _holds(pin, text):
            write_atomically(pin, text.encode())
    _stage(store.root, pins)
    return found


def _stage(root: Path, paths: Collection[Path]) -> None:
    if paths:
        names = "\0".join(path.relative_to(root).as_posix() for path in paths)
        words = ("add", "--pathspec-from-file=-", "--pathspec-file-nul")
        git(root, *words, given=names, so="nothing was staged")


def _refuse_unmerged(root: Path) -> None:
    if git(root, "ls-files", "--unmerged", "--", "results"):
        raise VariorumError(
            "a merge left .dvc files in results/ undecided; take one side of all of them "
            "(`git checkout --theirs results`, or `--ours`), `git add results`, and share again"
        )


def _texts(store: Store, refs: Iterable[Ref]) -> Iterator[tuple[Ref, str]]:
    """Yield the text of the `.dvc` file of each result that DVC has stored."""
    cache = DvcCache(store.root)
    for ref in refs:
        pin = pin_of(store, ref, cache)
        if pin is not None:
            yield ref, pin.read_text(encoding="utf-8")


def _held(store: Store, refs: Iterable[Ref]) -> Mapping[Ref, Collection[str]]:
    """Return the MD5 of each result in the `.dvc` file here, else in commits."""
    here = {ref: pinned_by(store.pin(ref)) for ref in refs}
    commits = committed_pins(store.root)
    lacking = {ref: commits.get(ref, set()) for ref, md5 in here.items() if md5 is None}
    texts = contents(store.root, set().union(*lacking.values()))
    found: dict[Ref, Collection[str]] = {ref: {md5} for ref, md5 in here.items() if md5}
    for ref, objects in lacking.items():
        said = (pinned(texts[name].decode(errors="replace"), ref.key) for name in objects)
        found[ref] = {md5 for md5 in said if md5}
    return found


def _is_held(texts: Mapping[Ref, str], held: Mapping[Ref, Collection[str]], ref: Ref) -> bool:
    """Check whether git holds a result as it is here."""
    return ref in texts and pinned(texts[ref], ref.key) in held[ref]


def _other_inputs(store: Store, ref: Ref, kept: Collection[Ref]) -> Iterator[Ref]:
    """Yield the inputs of a result that are `kept` back or have other bytes."""
    with suppress(StoreError):
        for entry in store.peek(ref).manifest["inputs"].values():
            needed = Ref.parse(entry["result"])
            digests = _digests(store, needed)
            if needed in kept or (digests and entry["manifest_sha256"] not in digests):
                yield needed


def _digests(store: Store, ref: Ref) -> Collection[str]:
    """Return the hashes by which others may note a result; none if it is missing."""
    file = store.folder(ref) / MANIFEST
    if not file.is_file():
        return ()
    return sha256_of(file), manifest_digest(store.peek(ref).manifest)


def _holds(pin: Path, text: str) -> bool:
    """Check whether a `.dvc` file is there with this text."""
    return pin.is_file() and pin.read_text(encoding="utf-8", errors="replace") == text
