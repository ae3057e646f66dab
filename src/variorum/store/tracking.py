"""Store results in DVC's cache, without a change that git sees.

Each result of corpus and training gets a `.dvc` file of its own, below `scratch/pins/`; `sharing`
puts it where git and DVC look. Evaluations, stress tests and figures are small and many; they
travel inside the report or table that uses them (`restoring`). One call stores all new results,
because DVC takes a second to start.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from variorum.base.atomic import write_atomically
from variorum.base.counts import counted
from variorum.base.errors import VariorumError
from variorum.base.git import git
from variorum.base.locks import FOLDER, exclusive
from variorum.base.progress import say
from variorum.identity.spec import Ref
from variorum.store.dvc_cache import DvcCache, md5_of, pinned, pinned_by
from variorum.store.dvc_files import store_bytes
from variorum.store.records import RECORDS, record
from variorum.store.restoring import pinned_files
from variorum.store.result import MANIFEST, StoreError
from variorum.store.store import Store

OTHER_PINS = "scratch/pins/others"
"""Folder of the `.dvc` files of other bytes than the last that this clone made or was given."""

DIGITS = 12
UNKNOWN = "nobody can say which .dvc files it holds"


def track(root: Path, stages: Collection[str]) -> None:
    """Store new results of these stages in DVC's cache, and note where all were made."""
    store = Store(root)
    if not is_repository(root):
        if any(True for _ in store.refs()):
            say("no git and DVC repository here: results stay untracked")
        return
    with pinning(root):
        store_new(store, stages)


@contextmanager
def pinning(root: Path) -> Iterator[None]:
    """Let one process at a time write, move or delete `.dvc` files of results."""
    waiting = "waits for another process that stores, shares or removes results"
    with exclusive(root / FOLDER / "pins", lambda: say(waiting)):
        yield


def store_new(store: Store, stages: Collection[str]) -> None:
    """Do what `track` does; the caller holds `pinning`."""
    root, cache = store.root, DvcCache(store.root)
    _withdraw(store, cache)
    new = [ref for ref in store.refs() if ref.stage in stages and _is_new(store, ref, cache)]
    record(store)
    if not new:
        return
    refs = {store.folder(ref): ref for ref in new}
    try:
        for folder, text in store_bytes(root, refs):
            own = store.own_pin(refs[folder])
            if pinned_by(own) not in (pinned(text, own.stem), pinned_by(store.pin(refs[folder]))):
                _set_aside(store, refs[folder], own)
            write_atomically(own, text.encode())
    except (VariorumError, OSError) as error:
        say(
            f"DVC's cache may lack some of {counted(len(new), 'complete result')}: {error}. Fix "
            "that and run `variorum track` again"
        )
    else:
        say(f"DVC stores {counted(len(new), 'new result')}; `variorum share` shares them")


def _withdraw(store: Store, cache: DvcCache) -> None:
    """Move `.dvc` files that git does not know to this clone's own.

    An experiment of DVC leaves them behind. Git would refuse a merge or a branch that brings them.
    """
    root = store.root
    known = set(git(root, "ls-files", "-z", "--", "results", so=UNKNOWN).split("\0"))
    for pin in root.glob("results/*/*.dvc"):
        if pin.relative_to(root).as_posix() in known:
            continue
        if pin.parent == root / RECORDS:
            if pin.with_suffix("").is_file():
                pin.unlink()
        elif pinned_files(pin, cache) is not None:
            _take_over(store, Ref(pin.parent.name, pin.stem), cache)


def _take_over(store: Store, ref: Ref, cache: DvcCache) -> None:
    """Make a `.dvc` file in `results/` this clone's own."""
    pin, own = store.pin(ref), store.own_pin(ref)
    if pinned_by(pin) == pinned_by(own):
        pin.unlink()
    elif pin_of(store, ref, cache) == own:
        _set_aside(store, ref, pin)
    else:
        _set_aside(store, ref, own)
        own.parent.mkdir(parents=True, exist_ok=True)
        pin.rename(own)


def _set_aside(store: Store, ref: Ref, pin: Path) -> None:
    """Save the `.dvc` file of other bytes, which nothing else may name."""
    md5 = pinned_by(pin)
    if md5 is None:
        return
    other = store.root / OTHER_PINS / md5[:DIGITS] / ref.stage / pin.name
    other.parent.mkdir(parents=True, exist_ok=True)
    pin.rename(other)
    place = store.pin(ref).relative_to(store.root)
    brings = f"cp {other.relative_to(store.root)} {place} && dvc checkout --force {place}"
    if git(store.root, "ls-files", "--", str(place), so=UNKNOWN):
        brings += f" && git restore {place}"  # git's file names bytes of others
    say(f"{ref}: DVC's cache also holds other bytes; `{brings}` brings them")


def is_repository(root: Path) -> bool:
    """Check whether the project is a git and DVC repository of its own."""
    return (root / ".dvc").is_dir() and (root / ".git").exists()


def track_leftovers(store: Store, stages: Collection[str]) -> None:
    """Run `track` if an earlier run was killed before it could.

    Snakemake calls nothing at the end of a run that has nothing to do.
    """
    refs = (ref for stage in stages for ref in store.refs(stage))
    pins = ((store.pin(ref), store.own_pin(ref)) for ref in refs)
    if is_repository(store.root) and any(not a.is_file() and not b.is_file() for a, b in pins):
        track(store.root, stages)


def pin_of(store: Store, ref: Ref, cache: DvcCache) -> Path | None:
    """Return the `.dvc` file that pins a result; None unless DVC has all of it.

    Bytes that another platform made under the same key have another manifest.
    """
    here = md5_of(store.folder(ref) / MANIFEST)
    for pin in (store.pin(ref), store.own_pin(ref)):
        files = pinned_files(pin, cache)
        if files and MANIFEST in files and _md5(files[MANIFEST]) == here:
            return pin
    return None


def holds_other_bytes(store: Store, ref: Ref, cache: DvcCache) -> bool:
    """Check whether the shared pin of a result names other bytes than are here."""
    shared = pinned_by(store.pin(ref))
    own = pin_of(store, ref, cache) if shared else None
    return own is not None and pinned_by(own) != shared


def _md5(file: Path) -> str:
    """Return the MD5 that a file of DVC's cache is named by."""
    return file.parent.name + file.name


def _is_new(store: Store, ref: Ref, cache: DvcCache) -> bool:
    """Check whether DVC's cache lacks a result as it is here."""
    if pin_of(store, ref, cache) is not None:
        return False
    try:
        store.open(ref)
    except StoreError as error:
        say(f"{error}; until then it is not handed to DVC")
        return False
    return True
