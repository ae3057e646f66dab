"""What is there: results with label, size, age, the time they took, and who needs them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from variorum.audit.holdings.needs import needs
from variorum.audit.holdings.stored import Vault
from variorum.audit.holdings.trees import has_git, trees
from variorum.errors import VariorumError
from variorum.stages.stage_settings import STAGES
from variorum.store import KEY_LENGTH, MANIFEST, Ref, Result, Store, StoreError, size_of

NOBODY = "nobody"

SHOWN = 3
"""So many of those who need a result are named; the others are counted."""

KEY = re.compile(f"[0-9a-f]{{{KEY_LENGTH}}}")

UNITS = (("d", 86400), ("h", 3600), ("min", 60))


@dataclass(frozen=True)
class Row:
    """One result, or what lies in the place of one.

    begun: when it was made, as seconds since 1970.
    seconds: what that took; None if that was not kept.
    names: those who need it.
    damaged: what is wrong with it; None if it is whole.
    """

    ref: Ref
    label: str
    n_bytes: int
    begun: float
    seconds: float | None
    names: tuple[str, ...]
    adopted: bool = False
    damaged: str | None = None

    def line(self, now: float) -> str:
        """What `variorum ls` prints of it."""
        if self.damaged:
            return f"{self.ref!s:<26} damaged: {self.damaged}"
        took = "" if self.seconds is None else f"{self.seconds:.1f} s"
        marks = f"{shortened(self.names)}{' (adopted)' if self.adopted else ''}"
        size = megabytes(self.n_bytes)
        return (
            f"{self.ref!s:<26} {size:>12} {age(now - self.begun):>7} {took:>9}  "
            f"{self.label:<20} {marks}"
        )


@dataclass(frozen=True)
class Listing:
    """What is there, in the order of the flow and by age, and what could not be told of it."""

    rows: list[Row]
    doubts: list[str]


def listing(root: Path, stage: str | None = None, *, branches: bool = False) -> Listing:
    """The results of a stage, or of all; with `branches`, by the needs of other branches as well.

    Raises `VariorumError` if these cannot be asked.
    """
    if branches and not has_git(root):
        raise VariorumError("there is no git repository here, so there are no other branches")
    found = trees(root) if branches else []
    known = needs(root, found, Vault(root, found).upstream)
    doubts = [f"{fault}; who needs the results of that is not shown" for fault in known.faults]
    doubts += [
        f"{branch} cannot be planned ({why}): all that its .dvc files name is needed"
        for branch, why in {**known.by_files, **known.unknown}.items()
    ]
    return Listing(rows(Store(root), known.serves, stage), doubts)


def refs(store: Store, stage: str | None = None) -> Iterator[Ref]:
    """Every result that is there, and every folder in the place of one that is not empty."""
    for folder in sorted(store.root.glob(f"results/{stage or '*'}/*")):
        is_there = (folder / MANIFEST).is_file() or (folder.is_dir() and any(folder.iterdir()))
        if KEY.fullmatch(folder.name) and is_there:
            yield Ref(folder.parent.name, folder.name)


def rows(
    store: Store, serves: Mapping[Ref, tuple[str, ...]], stage: str | None = None
) -> list[Row]:
    """What is there, in the order of the flow and by age; `serves` says who needs what."""
    found = (row(store, ref, serves.get(ref, ())) for ref in refs(store, stage))
    return sorted(found, key=lambda row: (*order(row.ref), row.begun, row.ref))


def order(ref: Ref) -> tuple[int, str]:
    """Sorts results as the flow goes; stages that are no more come last."""
    stages = list(STAGES)
    return (stages.index(ref.stage) if ref.stage in stages else len(stages)), ref.stage


def row(store: Store, ref: Ref, names: tuple[str, ...] = ()) -> Row:
    """What is there under `ref`."""
    folder = store.folder(ref)
    try:
        result = store.open(ref)
    except StoreError as error:
        moment = folder.stat().st_mtime
        return Row(ref, "", size_of(folder), moment, None, names, damaged=str(error))
    run = result.run
    seconds = run.get("seconds")
    return Row(
        ref,
        str(run.get("label", "")),
        result.n_bytes,
        _begun(result, run),
        float(seconds) if isinstance(seconds, (int, float)) else None,
        names,
        result.adopted is not None,
    )


def _begun(result: Result, run: Mapping[str, Any]) -> float:
    """When it was made: as `run.json` says, else when its manifest was written."""
    try:
        return datetime.fromisoformat(run["begun"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return (result.folder / MANIFEST).stat().st_mtime


def totals(found: Iterable[Row]) -> list[str]:
    """Number and size of results by stage, and in all."""
    sizes: dict[str, list[int]] = {}
    for row in found:
        sizes.setdefault(row.ref.stage, []).append(row.n_bytes)
    lines = [f"{stage:<13} {len(s):>12,} {megabytes(sum(s)):>12}" for stage, s in sizes.items()]
    every = [size for stage in sizes.values() for size in stage]
    return [*lines, f"{len(every):>26,} {megabytes(sum(every)):>12} in all"]


def megabytes(n_bytes: int) -> str:
    """A size for people."""
    return f"{n_bytes / 1e6:,.2f} MB"


def age(seconds: float) -> str:
    """A time span for people: its largest unit that is full."""
    for unit, length in UNITS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(int(seconds), 0)} s"


def shortened(names: tuple[str, ...]) -> str:
    """Those who need a result, in a few words."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "") or NOBODY
