"""Add results to DVC, which stores, moves and pins their bytes.

Each result of corpus and training gets a `.dvc` file of its own, so that files of different
branches merge without conflicts. Evaluations, stress tests and figures are small and many; they
travel inside the report or table that uses them (`restoring`). One call adds all new results,
because each call of DVC costs seconds.
"""

import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from variorum.base.progress import say
from variorum.identity.spec import Ref
from variorum.store.dvc_cache import DvcCache, pinned_by
from variorum.store.records import new_records, record
from variorum.store.restoring import cached_files
from variorum.store.result import StoreError
from variorum.store.store import Store


def track(root: Path, stages: Collection[str]) -> None:
    """Add new results of these stages, and new records, to DVC."""
    store = Store(root)
    if not (root / ".dvc").is_dir() or not (root / ".git").exists():
        if any(True for _ in store.refs()):
            say("no git and DVC repository here: results stay untracked")
        return
    cache = DvcCache(root)
    new = [ref for ref in store.refs() if ref.stage in stages and _is_new(store, ref, cache)]
    record(store)
    paths = [*(store.folder(ref) for ref in new), *new_records(root)]
    if not paths:
        return
    names = [path.relative_to(root).as_posix() for path in paths]
    _delete_truncated([store.pin(ref) for ref in new], paths, cache)
    # Results made here stay ordinary files, even if the cache is set to links.
    done = _dvc(root, "add", "--no-relink", *names)
    if done.returncode:
        say(
            f"DVC could not add {len(new)} results; they are complete all the same. "
            f"Run `variorum track` again. DVC said:\n{done.stderr.strip()}"
        )
    elif new:
        say(f"DVC tracks {len(new)} new results")


def _delete_truncated(pins: list[Path], paths: list[Path], cache: DvcCache) -> None:
    """Delete DVC's files that were cut off: DVC would fail on them."""
    for md5 in filter(None, map(pinned_by, pins)):
        if cache.listing(md5) is None:
            cache.path(md5).unlink(missing_ok=True)
    for file in (path.with_name(f"{path.name}.dvc") for path in paths):
        if pinned_by(file) is None:
            file.unlink(missing_ok=True)


def track_leftovers(store: Store, stages: Collection[str]) -> None:
    """Run `track` if an earlier run was killed before it could.

    Snakemake calls nothing at the end of a run that has nothing to do.
    """
    refs = (ref for stage in stages for ref in store.refs(stage))
    here = (store.root / ".dvc").is_dir() and (store.root / ".git").exists()
    if here and any(not store.pin(ref).is_file() for ref in refs):
        track(store.root, stages)


def _is_new(store: Store, ref: Ref, cache: DvcCache) -> bool:
    """Check whether DVC's cache lacks a result.

    A `.dvc` file that came with git may pin a result that was also made here. Its hash is the same;
    the bytes still have to be stored.
    """
    if cached_files(store, ref, cache) is not None:
        return False
    try:
        store.open(ref)
    except StoreError as error:
        say(f"{error}; until then it is not handed to DVC")
        return False
    return True


def _dvc(root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
