"""Decide what `variorum gc` removes, and remove it.

A result that stays keeps its inputs. A folder is moved away before it is deleted, so that a killed
removal leaves whole results or none.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from variorum.audit.available import Upstream, available, closure, order, pinned
from variorum.audit.gc import inventory
from variorum.audit.gc.inventory import InventoryRow, row
from variorum.audit.gc.leftovers import TRASH, Leftover, at_work, leftovers, unfinished
from variorum.audit.gc.needs import REFERENCE, Needs, needs
from variorum.audit.gc.upstream import upstream_of
from variorum.base.counts import counted
from variorum.base.errors import VariorumError, several
from variorum.base.project import refuse_other_code
from variorum.base.text_tables import table_lines
from variorum.identity.spec import Ref
from variorum.report.units import size
from variorum.stages.registry import TRACKED
from variorum.store.committed import has_git
from variorum.store.store import Store
from variorum.store.tracking import pinning
from variorum.store.vault import Vault

FORCE = "--force"
NEEDED_BY_UNNEEDED = "a result that stays was made from it"
HEADER = (*inventory.HEADER[:-1], "why")
RIGHT = HEADER[1:4]


@dataclass(frozen=True)
class Removal:
    """Hold what is removed and what stays.

    results: removed with their `.dvc` files. leftovers: removed folders of scratch. left: unneeded
    results that stay, each with the reason. n_needed: number of needed results. notes: other
    remarks.
    """

    results: tuple[InventoryRow, ...]
    leftovers: tuple[Leftover, ...]
    left: tuple[tuple[InventoryRow, str], ...]
    n_needed: int
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.results or self.leftovers)

    def lines(self, now: float) -> Iterator[str]:
        """Yield the plan for people."""
        yield from self.notes
        if self.left:
            yield "unneeded results that stay:"
            left = [row.cells(now, why) for row, why in self.left]
            yield from table_lines(left, HEADER, RIGHT)
            if any(FORCE in reason for _, reason in self.left):
                yield (
                    f"(`variorum share` and a commit store results; {FORCE} removes them for good)"
                )
        if not self:
            yield (
                f"nothing to remove: of the results here, {self.n_needed} are needed and "
                f"{counted(len(self.left), 'unneeded one stays', 'unneeded ones stay')}"
            )
            return
        yield "to be removed, as no plan, pin, other branch or tag needs it:"
        going = [row.cells(now, row.damaged or "") for row in self.results]
        going += ((str(p.path), size(p.n_bytes), "", "", p.what, "") for p in self.leftovers)
        yield from table_lines(going, HEADER, RIGHT)
        n_bytes = sum([*(r.n_bytes for r in self.results), *(p.n_bytes for p in self.leftovers)])
        yield (
            f"{self._number()} in scratch to be removed, {size(n_bytes)}; "
            f"{counted(self.n_needed, 'result is', 'results are')} needed"
        )

    def _number(self) -> str:
        results, leftovers = len(self.results), len(self.leftovers)
        return f"{counted(results, 'result')} and {counted(leftovers, 'leftover')}"

    def done(self) -> str:
        """Return what to print after the removal."""
        said = f"removed {self._number()}"
        return f"{said}; commit the removal of their .dvc files" if self.results else said

    def agreed(self, other: "Removal") -> "Removal":
        """Return what both would remove, described as here."""
        results, paths = {r.ref for r in other.results}, {p.path for p in other.leftovers}
        return replace(
            self,
            results=tuple(row for row in self.results if row.ref in results),
            leftovers=tuple(part for part in self.leftovers if part.path in paths),
        )


# Decide


def plan(root: Path, *, force: bool = False) -> Removal:
    """Return what can be removed; `force` includes what DVC has not stored.

    Raises `VariorumError` if needs are not known.
    """
    refuse_other_code(root)
    vault = Vault(root, TRACKED)
    upstream = upstream_of(root, vault)
    known = needs(root, upstream)
    for fault in known.faults:
        raise VariorumError(f"{fault.rstrip('.')}. Until then, needs are unknown")
    return decide(Store(root), None if force else vault, upstream, known)


def decide(store: Store, vault: Vault | None, upstream: Upstream, known: Needs) -> Removal:
    """Divide the results and leftovers into what is removed and what stays.

    Without a vault it does not matter what DVC has stored.
    """
    making, busy = unfinished(store), closure(at_work(store), upstream)

    def why_not(ref: Ref) -> str | None:
        if ref in busy:
            return "a process is making it" if ref in making else "a running process needs it"
        lack = vault.lacks(ref) if vault else None
        return f"{lack} ({FORCE})" if lack else None

    results = set(available(store))
    unneeded = (results | set(pinned(store))) - known.serves.keys()
    reasons = {ref: why for ref in unneeded if (why := why_not(ref))}
    below = closure(reasons, upstream) & unneeded
    left = {**dict.fromkeys(below, NEEDED_BY_UNNEEDED), **reasons}
    return Removal(
        tuple(row(store, ref) for ref in sorted(unneeded - left.keys(), key=order)),
        tuple(leftovers(store, known, busy, force=vault is None)),
        tuple((row(store, ref), left[ref]) for ref in sorted(left, key=order)),
        len(results - unneeded),
        tuple(_notes(store.root, [known.serves[ref] for ref in results - unneeded])),
    )


def _notes(root: Path, needed: Iterable[tuple[str, ...]]) -> Iterator[str]:
    if not has_git(root):
        yield "no git repository here: only plans and pins of this folder count"
    alone = [names for names in needed if all(name.startswith(REFERENCE) for name in names)]
    if alone:
        others = sorted({name.removeprefix(REFERENCE) for names in alone for name in names})
        yield (
            f"{counted(len(alone), 'result stays', 'results stay')} because of .dvc files of "
            f"{several(others)} alone; delete such a branch or tag to free them"
        )


# Remove


class _BusyError(Exception):
    """Report that a process took the lock of a result to remove."""


def remove(root: Path, chosen: Removal) -> Removal:
    """Remove what was chosen, and return what was removed.

    What processes are making stays, with its inputs, as found at the start. Raises `VariorumError`
    if the disk refuses.
    """
    store = Store(root)
    try:
        (root / TRASH).mkdir(parents=True, exist_ok=True)
        trash = Path(tempfile.mkdtemp(dir=root / TRASH))
        # Inputs of others go last, so that any rest of a chain is its beginning.
        upstream = upstream_of(root, Vault(root, TRACKED))
        results, stays = [], closure(at_work(store), upstream)
        for row in tqdm(chosen.results[::-1], "removing", leave=False, disable=None):
            with pinning(root):
                paths = (store.folder(row.ref), store.pin(row.ref), store.own_pin(row.ref))
                is_gone = row.ref not in stays and _delete(store, row.ref, paths, trash)
            if is_gone:
                results.append(row)
            else:
                stays |= closure([row.ref], upstream)
        parts = [
            part for part in chosen.leftovers if _delete(store, part.ref, [root / part.path], trash)
        ]
        asides = root / "scratch/aside"
        for folder in (trash, trash.parent, *asides.glob("*"), asides):
            with suppress(OSError):
                folder.rmdir()
    except OSError as error:
        raise VariorumError(
            f"{error.filename}: could not be removed ({error.strerror}); every result is whole or "
            "removed. Fix that and run `variorum gc` again"
        ) from error
    return replace(chosen, results=tuple(reversed(results)), leftovers=tuple(parts))


def _delete(store: Store, ref: Ref | None, paths: Iterable[Path], trash: Path) -> bool:
    """Delete files and folders whole; False if a process locks `ref`."""
    with suppress(_BusyError), store.locked(ref, _refuse) if ref else nullcontext():
        for path in paths:
            if path.is_file() or path.is_symlink():
                path.unlink()
            elif path.exists():
                moved = path.rename(trash / "-".join(path.relative_to(store.root).parts))
                shutil.rmtree(moved)
        return True
    return False


def _refuse() -> None:
    raise _BusyError
