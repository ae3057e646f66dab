"""List results with label, size, age, duration, and who needs them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from variorum.audit.available import available, order
from variorum.audit.gc.needs import needs
from variorum.audit.gc.upstream import upstream_of
from variorum.base.errors import several
from variorum.base.text_tables import table_lines
from variorum.identity.spec import Ref
from variorum.report.units import duration, size
from variorum.stages.registry import TRACKED
from variorum.store.result import MANIFEST, Result, StoreError, size_of
from variorum.store.store import Store
from variorum.store.vault import Vault

NOBODY = "nobody"

HEADER = ("result", "size", "age", "took", "label", "needed by")


@dataclass(frozen=True)
class InventoryRow:
    """Describe one result, or what lies in its place.

    begun: when it was made, in seconds since 1970. names: who needs it. seconds: how long it took,
    if known. damaged: what is wrong with it, if anything.
    """

    ref: Ref
    n_bytes: int
    begun: float
    names: tuple[str, ...] = ()
    label: str = ""
    seconds: float | None = None
    adopted: bool = False
    damaged: str | None = None

    def cells(self, now: float, last: str | None = None) -> tuple[str, ...]:
        """Return its row of `variorum ls`, as `HEADER` names the columns.

        `last` replaces the last cell.
        """
        took = "" if self.seconds is None else f"{self.seconds:.1f} s"
        if last is None:
            last = (several(self.names) or NOBODY) + (" (adopted)" if self.adopted else "")
            last = f"damaged: {self.damaged}" if self.damaged else last
        old = duration(max(now - self.begun, 0))
        return (str(self.ref), size(self.n_bytes), old, took, self.label, last)


def inventory(root: Path, stage: str | None = None) -> tuple[list[InventoryRow], list[str]]:
    """Return the results of a stage, or all, by stage and age.

    The second list says which needs are unknown.
    """
    store, known = Store(root), needs(root, upstream_of(root, Vault(root, TRACKED)))
    found = [row(store, ref, known.serves.get(ref, ())) for ref in available(store, stage)]
    found.sort(key=lambda row: (*order(row.ref)[:1], row.ref.stage, row.begun, row.ref))
    return found, [f"{fault}; who needs the results of that is not shown" for fault in known.faults]


def lines(found: list[InventoryRow], now: float) -> Iterator[str]:
    """Yield what `variorum ls` prints: the results, then totals by stage."""
    if found:
        yield from table_lines((row.cells(now) for row in found), HEADER, HEADER[1:4])
        yield ""
    by_stage = {row.ref.stage: [r for r in found if r.ref.stage == row.ref.stage] for row in found}
    totals = [
        (stage, f"{len(part):,}", size(sum(row.n_bytes for row in part)))
        for stage, part in {**by_stage, "all": found}.items()
    ]
    yield from table_lines(totals, ("stage", "results", "size"), ("results", "size"))


def row(store: Store, ref: Ref, names: tuple[str, ...] = ()) -> InventoryRow:
    """Return the row of `ref`, of which only the `.dvc` file may be here."""
    folder = store.folder(ref)
    if not folder.is_dir():
        moment = store.pin(ref).stat().st_mtime
        return InventoryRow(ref, 0, moment, names, damaged="only its .dvc file is here")
    n_bytes = size_of(folder)
    try:
        result = store.open(ref)
    except StoreError as error:
        moment = folder.stat().st_mtime
        return InventoryRow(ref, n_bytes, moment, names, damaged=str(error))
    run = result.run
    seconds, label = run.get("seconds"), str(run.get("label", ""))
    took = float(seconds) if isinstance(seconds, (int, float)) else None
    begun = _begun(result, run)
    return InventoryRow(ref, n_bytes, begun, names, label, took, bool(result.adopted))


def _begun(result: Result, run: Mapping[str, Any]) -> float:
    """Return when it was made, from `run.json`, else from its manifest's time."""
    try:
        return datetime.fromisoformat(run["begun"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return (result.folder / MANIFEST).stat().st_mtime
