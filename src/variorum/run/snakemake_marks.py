"""Read what Snakemake uses: its locks, marks of unfinished jobs, and times of files.

It would run a result again that was published just before it could note so. Its locks are files
that a kill leaves. Whether their Snakemake lives, the kernel's lock `variorum.lock` tells, but on
some file systems of clusters only to processes of the same machine. So the machine is noted.
"""

import os
import time
from base64 import urlsafe_b64decode
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from variorum.base.atomic import write_atomically
from variorum.base.errors import VariorumError
from variorum.base.locks import Presence, is_held
from variorum.base.machine import boot, host
from variorum.identity.spec import Ref
from variorum.plan.plan_file import plan_files
from variorum.plan.source_lock import say
from variorum.store.records import restore_run_info
from variorum.store.result import MANIFEST, StoreError
from variorum.store.store import Store
from variorum.store.tracking import track_leftovers

MARKS = ".snakemake"
"""Snakemake's own folder."""

PRESENCE = "variorum.lock"
"""In it: the lock that every running Snakemake holds."""

MACHINE = "variorum.machine"
"""In it: the machine of the last Snakemake that found no other, its host and its boot."""


def begin(store: Store, tracked: Collection[str]) -> Presence:
    """Remove what a killed Snakemake left, if no other one runs.

    Returns what this one holds. Snakemake would refuse its dead predecessor's locks, and would run
    a result again that was published just before it could note so. Locks of another machine stay.
    `tracked` are the stages whose results DVC tracks. Raises `VariorumError` if DVC could not.
    """
    _refuse_links(store.root)
    marks = store.root / MARKS
    marks.mkdir(exist_ok=True)
    alive = Presence(marks / PRESENCE)
    if not alive.is_alone():
        return alive
    if other := locked_elsewhere(marks):
        say(
            f"variorum: a Snakemake on {other} left its locks in {marks}; if none runs there, "
            "`snakemake --unlock` removes them"
        )
    else:
        note_machine(marks)
        _clear(store, marks, tracked)
    alive.share()
    return alive


def _refuse_links(root: Path) -> None:
    """Raise `VariorumError` if results lie behind a link, which git and DVC do not follow."""
    places = [root / "results", *(root / "results").glob("*")]
    if (root / ".dvc").is_dir() and (links := [path for path in places if path.is_symlink()]):
        raise VariorumError(
            f"{links[0].relative_to(root)} is a link to {links[0].readlink()}, and neither git nor "
            "DVC stores what lies behind a link; put the folder there. For more space, move the "
            "whole project to the larger disk"
        )


def _clear(store: Store, marks: Path, tracked: Collection[str]) -> None:
    for lock in locks_of(marks):
        lock.unlink(missing_ok=True)
    found = marked(store, marks)
    for mark in (mark for mark, ref in found.items() if ref is not None):
        mark.unlink(missing_ok=True)
    restore_run_info(store)
    if None not in found.values():  # else the end of this run will do it
        track_leftovers(store, tracked)


def note_machine(marks: Path) -> None:
    """Note that a Snakemake of this machine works here."""
    write_atomically(marks / MACHINE, f"{host()}\n{boot()}\n".encode())


def locked_elsewhere(marks: Path) -> str | None:
    """Return the host whose Snakemake may hold its locks here, if that is another machine."""
    if not locks_of(marks):
        return None
    try:
        noted = (marks / MACHINE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    return noted[0] if not {host(), boot()} & set(noted) else None


def locks_of(marks: Path) -> list[Path]:
    """Return the files by which a Snakemake locks outputs and inputs."""
    return sorted((marks / "locks").glob("*.lock"))


def snakemake_runs(root: Path) -> bool:
    """Check whether a Snakemake runs in the project, or may run on another machine."""
    marks = root / MARKS
    return is_held(marks / PRESENCE) or locked_elsewhere(marks) is not None


def plans_in_use(root: Path) -> list[Path]:
    """Return the plan files in use: all, if a Snakemake runs elsewhere."""
    elsewhere = locked_elsewhere(root / MARKS) is not None
    return [path for path in plan_files(root) if elsewhere or is_held(path)]


def marked(store: Store, folder: Path) -> dict[Path, Ref | None]:
    """Return each mark in Snakemake's own folder, with its result if that is complete."""
    place = folder / "incomplete"
    files = [path for path in place.rglob("*") if path.is_file()]
    return {mark: _complete(store, mark.relative_to(place)) for mark in files}


def _complete(store: Store, mark: Path) -> Ref | None:
    """Return the finished result whose manifest is encoded in the name of a mark."""
    encoded = "".join(part.removeprefix("@") for part in mark.parts)
    try:
        output = Path(urlsafe_b64decode(encoded).decode())
    except ValueError:
        return None
    if output.name != MANIFEST or len(output.parts) != 4:
        return None
    ref = Ref(*output.parts[1:3])
    with suppress(StoreError):  # a damaged result is named when somebody needs it
        return ref if store.exists(ref) else None
    return None


def not_after_now(path: Path) -> None:
    """Take a file's time back to a second ago if it is later than that."""
    moment = time.time() - 1
    with suppress(FileNotFoundError):
        if path.stat().st_mtime > moment:
            os.utime(path, (moment, moment))
