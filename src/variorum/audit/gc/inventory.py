"""What is there: results with label, size, age, the time they took, and who needs them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from variorum.audit.gc.needs import needs
from variorum.audit.gc.stored import Vault
from variorum.base.text_tables import table_lines
from variorum.base.units import duration, size
from variorum.identity.spec import KEY_LENGTH, Ref
from variorum.stages.registry import place_of
from variorum.store.result import MANIFEST, Result, StoreError, size_of
from variorum.store.store import Store

NOBODY = "nobody"

SHOWN = 3
"""So many of those who need a result are named; the others are counted."""

KEY = re.compile(f"[0-9a-f]{{{KEY_LENGTH}}}")

HEADER = ("result", "size", "age", "took", "label", "needed by")


@dataclass(frozen=True)
class InventoryRow:
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

    def cells(self, now: float) -> tuple[str, ...]:
        """Return what `variorum ls` shows of it, as `HEADER` names it."""
        took = "" if self.seconds is None else f"{self.seconds:.1f} s"
        marks = shortened(self.names) + (" (adopted)" if self.adopted else "")
        if self.damaged:
            marks = f"damaged: {self.damaged}"
        old = duration(max(now - self.begun, 0))
        return (str(self.ref), size(self.n_bytes), old, took, self.label, marks)


def inventory(root: Path, stage: str | None = None) -> tuple[list[InventoryRow], list[str]]:
    """Return the results of a stage, or of all, in the order of the flow and by age.

    Beside them stands what could not be told of who needs them.
    """
    store, known = Store(root), needs(root, Vault(root).upstream)
    found = [row(store, ref, known.serves.get(ref, ())) for ref in here(store, stage)]
    found.sort(key=lambda row: (*order(row.ref)[:1], row.ref.stage, row.begun, row.ref))
    return found, [f"{fault}; who needs the results of that is not shown" for fault in known.faults]


def lines(found: list[InventoryRow], now: float) -> Iterator[str]:
    """Return what `variorum ls` prints: the results, and their number and size by stage."""
    if found:
        yield from table_lines((row.cells(now) for row in found), HEADER, HEADER[1:4])
        yield ""
    by_stage = {row.ref.stage: [r for r in found if r.ref.stage == row.ref.stage] for row in found}
    totals = [
        (stage, f"{len(part):,}", size(sum(row.n_bytes for row in part)))
        for stage, part in {**by_stage, "all": found}.items()
    ]
    yield from table_lines(totals, ("stage", "results", "size"), ("results", "size"))


def here(store: Store, stage: str | None = None) -> Iterator[Ref]:
    """Return every result, and every folder in the place of one that is not empty."""
    for folder in sorted(store.root.glob(f"results/{stage or '*'}/*")):
        is_there = (folder / MANIFEST).is_file() or (folder.is_dir() and any(folder.iterdir()))
        if KEY.fullmatch(folder.name) and is_there:
            yield Ref(folder.parent.name, folder.name)


def order(ref: Ref) -> tuple[int, Ref]:
    """Return what sorts results as the flow goes, with stages that are no more at the end."""
    return place_of(ref.stage), ref


def row(store: Store, ref: Ref, names: tuple[str, ...] = ()) -> InventoryRow:
    """Return what is there under `ref`."""
    folder = store.folder(ref)
    try:
        result = store.open(ref)
    except StoreError as error:
        moment = folder.stat().st_mtime
        return InventoryRow(ref, "", size_of(folder), moment, None, names, damaged=str(error))
    run = result.run
    seconds = run.get("seconds")
    return InventoryRow(
        ref,
        str(run.get("label", "")),
        result.n_bytes,
        _begun(result, run),
        float(seconds) if isinstance(seconds, (int, float)) else None,
        names,
        result.adopted is not None,
    )


def _begun(result: Result, run: Mapping[str, Any]) -> float:
    """Return when it was made: as `run.json` says, else when its manifest was written."""
    try:
        return datetime.fromisoformat(run["begun"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return (result.folder / MANIFEST).stat().st_mtime


def shortened(names: tuple[str, ...]) -> str:
    """Return those who need a result, in a few words."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "") or NOBODY
