"""Find what running processes make and need, and what dead ones left."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from variorum.audit.available import KEY
from variorum.audit.gc.needs import Needs
from variorum.audit.scratch import ADOPTIONS, COMPARISONS, RERUNS
from variorum.base.locks import is_held
from variorum.base.project import CODE_VERSIONS
from variorum.identity.spec import Ref
from variorum.plan.plan_file import PlanFile, plan_files
from variorum.run.runner import SPEC
from variorum.run.snakemake_marks import plans_in_use, snakemake_runs
from variorum.store.result import size_of
from variorum.store.store import Store
from variorum.store.tracking import OTHER_PINS

TRASH = "scratch/trash"
"""Folder of what is being deleted."""

STATES = "state.safetensors*"
"""Saved states of a stopped training."""


# Running processes


def unfinished(store: Store) -> set[Ref]:
    """Return the planned results that are not made yet."""
    specs = store.root.glob(f"scratch/*/*/{SPEC}")
    plans = (PlanFile(store.root, path) for path in plans_in_use(store.root))
    planned = {ref for plan in plans for ref in plan.refs()}
    return {Ref(*path.parts[-3:-1]) for path in specs} | planned - set(store.refs())


def at_work(store: Store) -> set[Ref]:
    """Return the results that processes lock; with a running Snakemake, all unfinished ones."""
    locks = (path for path in store.root.glob("scratch/locks/*") if is_held(path))
    locked = {Ref(*path.name.rpartition("-")[::2]) for path in locks}
    return locked | (unfinished(store) if snakemake_runs(store.root) else set())


# Leftovers


@dataclass(frozen=True)
class Leftover:
    """Describe a useless file or folder in scratch.

    ref: the result it was made for, or the lock of its command, if any.
    """

    path: Path
    n_bytes: int
    what: str
    ref: Ref | None = None


def leftovers(
    store: Store, known: Needs, busy: Collection[Ref], *, force: bool
) -> Iterator[Leftover]:
    """Yield what can be removed: nothing that a plan needs or a process uses.

    With `force` also the states of stopped trainings, files moved aside for results, and `.dvc`
    files of their other bytes, which nothing else may name.
    """
    root, scratch = store.root, store.root / "scratch"

    def leftover(path: Path, what: str, ref: Ref | None = None) -> Leftover:
        return Leftover(path.relative_to(root), size_of(path), what, ref)

    for folder in sorted(scratch.glob("*/*")):
        ref = Ref(folder.parent.name, folder.name)
        is_work = KEY.fullmatch(ref.key) and ref.stage != "aside"
        needed = ref in known.serves or ref in busy
        if is_work and not needed and (force or not any(folder.glob(STATES))):
            yield leftover(folder, _label(folder), ref)
    for path in sorted(scratch.glob("aside/*/*") if force else ()):
        yield leftover(path, "moved aside for a result")
    for path in sorted((root / OTHER_PINS).glob("*/*/*.dvc") if force else ()):
        ref = Ref(path.parent.name, path.stem)
        if ref not in known.serves and ref not in busy:
            yield leftover(path, "names other bytes of a result", ref)
    for path in sorted((root / TRASH).glob("*")):
        yield leftover(path, "was being removed")
    used = plans_in_use(root)
    for path in plan_files(root):
        if path not in used:
            yield leftover(path, "a plan that no Snakemake uses")
    for place in (ADOPTIONS, COMPARISONS, RERUNS):
        if (root / place.folder).is_dir() and place.lock not in busy:
            yield leftover(root / place.folder, f"left by `variorum {place.command}`", place.lock)
    if not busy:  # else a process may run from there
        for path in sorted((root / CODE_VERSIONS).glob("*")):
            if not any(path in package.parents for package in known.codes):
                yield leftover(path, "code that no ablation runs")


def _label(folder: Path) -> str:
    """Return the label of the unfinished result in a scratch folder."""
    try:
        label = json.loads((folder / SPEC).read_text(encoding="utf-8"))["label"]
    except (OSError, ValueError, KeyError, TypeError):
        return "unfinished"
    return f"{label}, unfinished"
