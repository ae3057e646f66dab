"""What `variorum gc` would remove, what it leaves alone and why, and the removal itself.

A result goes only if nobody needs it, no running process does, and DVC has stored it, unless
that last condition is waived. What is left alone keeps what it stands on. A folder is moved out of
the way before it is deleted, so that a killed removal leaves whole results or none.
"""

import fcntl
import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from variorum.audit.holdings.inventory import KEY, Row, age, megabytes, order, refs, row
from variorum.audit.holdings.needs import Needs, closure, needs
from variorum.audit.holdings.stored import Vault
from variorum.audit.holdings.trees import has_git, trees
from variorum.audit.scratch import ADOPTING, ADOPTIONS, RERUNNING, RERUNS
from variorum.components import PACKAGE
from variorum.errors import VariorumError
from variorum.other_code.trees import FOLDER as CODE_FOLDER
from variorum.other_code.trees import digest
from variorum.runner import SPEC, handed_over
from variorum.store import Ref, Store, StoreError, size_of

TRASH = "scratch/trash"
"""What is being deleted lies here."""

STATES = "state.safetensors*"
"""What a training that was stopped goes on from."""

UNSTORED = "--unstored"
BEING_MADE = "a process is making it"
STANDS_BELOW = "what is left alone stands on it"
ONLY_PINNED = "only its .dvc file is here"


@dataclass(frozen=True)
class Leftover:
    """A file or folder in scratch that is of no use any more, and what it is.

    ref: the result that it was to become, or whose turn it was, if it has a lock.
    """

    path: Path
    n_bytes: int
    what: str
    ref: Ref | None = None


@dataclass(frozen=True)
class Removal:
    """What goes and what stays.

    results: results that go, with their `.dvc` files.
    leftovers: folders of scratch that go.
    left: results that nobody needs and that stay, each with the reason.
    n_needed: how many results stay because they are needed.
    doubtful: branches that are known by their `.dvc` files alone, with the reason.
    n_branches: how many other states of the project counted.
    """

    results: tuple[Row, ...]
    leftovers: tuple[Leftover, ...]
    left: tuple[tuple[Row, str], ...]
    n_needed: int
    doubtful: Mapping[str, str]
    n_branches: int

    @property
    def n_bytes(self) -> int:
        """What would be freed, where nothing shares it."""
        sizes = [row.n_bytes for row in self.results] + [part.n_bytes for part in self.leftovers]
        return sum(sizes)

    def __bool__(self) -> bool:
        return bool(self.results or self.leftovers)

    def lines(self, now: float) -> Iterator[str]:
        """What people are shown."""
        for branch, why in self.doubtful.items():
            yield (
                f"{branch} cannot be planned ({why}): all that its .dvc files name is needed, and "
                "trainings that were stopped keep their state, as does what lay in results' places"
            )
        if self.left:
            yield "left alone, though nobody needs them:"
            yield from (f"  {_line(row, now)}  {reason}" for row, reason in self.left)
            if any(UNSTORED in reason for _, reason in self.left):
                yield (
                    "  (`variorum track`, and a commit of results/*/*.dvc, have DVC store results; "
                    f"{UNSTORED} removes them for good)"
                )
        if self:
            others = f" or on {self.n_branches} other branches and tags" if self.n_branches else ""
            yield f"to be removed, as no experiment, ablation or kept name here{others} needs it:"
        yield from (f"  {_line(row, now)}  {row.damaged or ''}".rstrip() for row in self.results)
        for part in self.leftovers:
            yield f"  {part.path.as_posix():<26} {megabytes(part.n_bytes):>12}  {part.what}"
        yield self._summary()

    def _summary(self) -> str:
        if self:
            return (
                f"{len(self.results)} results and {len(self.leftovers)} leftovers in scratch to be "
                f"removed, {megabytes(self.n_bytes)}; {self.n_needed} results are needed"
            )
        return (
            f"nothing to remove: of the results here, {self.n_needed} are needed and "
            f"{len(self.left)} left alone"
        )

    def done(self) -> str:
        """What to say when it has gone."""
        said = f"removed {len(self.results)} results and {len(self.leftovers)} leftovers"
        return f"{said}; commit that their .dvc files are gone" if self.results else said

    def agreed(self, other: "Removal") -> "Removal":
        """What both would remove, described as here."""
        results, paths = {r.ref for r in other.results}, {p.path for p in other.leftovers}
        return replace(
            self,
            results=tuple(row for row in self.results if row.ref in results),
            leftovers=tuple(part for part in self.leftovers if part.path in paths),
        )


def _line(row: Row, now: float) -> str:
    shown = f"{row.ref!s:<26} {megabytes(row.n_bytes):>12} {age(now - row.begun):>7}"
    return f"{shown}  {row.label:<20}".rstrip()


# Deciding


def plan(
    root: Path, *, unstored: bool = False, branches: bool = True, ignored: Collection[str] = ()
) -> Removal:
    """What can go.

    With `unstored`, also what DVC has not stored. Without `branches`, needs of other branches do
    not count; those whose names fit a pattern in `ignored` never do. Raises `VariorumError` if
    needs are not known.
    """
    if branches and not has_git(root):
        raise VariorumError(
            "there is no git repository here, so nobody knows what other branches need; with "
            "--no-branches, what this folder does not need can go"
        )
    _refuse_other_code(root)
    states = trees(root) if has_git(root) else []
    vault = Vault(root, states)
    known = needs(root, states if branches else [], vault.upstream, ignored)
    _refuse_unknown(known)
    return _Decision(Store(root), vault, known).removal(unstored)


def _refuse_other_code(root: Path) -> None:
    """Raise `VariorumError` if the package that runs is not the project's: its keys are others."""
    own = root / "src/variorum"
    if not own.is_dir() or own == PACKAGE:
        return
    here, running = _files(own), _files(PACKAGE)
    for name in sorted(here.keys() | running.keys()):
        if here.get(name) != running.get(name):
            raise VariorumError(
                f"src/variorum/{name} differs from what runs, {PACKAGE / name}, so that keys may; "
                "use the environment of this project (`make setup` makes one)"
            )


def _files(package: Path) -> dict[str, bytes]:
    found = (file for file in package.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return {file.relative_to(package).as_posix(): file.read_bytes() for file in found}


def _refuse_unknown(known: Needs) -> None:
    for name, ref in known.lost.items():
        raise VariorumError(
            f"{ref} is kept as {name} and neither here nor in DVC's cache, so what it stands on is "
            f"not known; fetch it with `dvc pull results/{ref}.dvc`, or keep it no longer"
        )
    for fault in known.faults:
        raise VariorumError(f"{fault.rstrip('.')}. Until then, what is needed here is not known")
    for branch, why in known.unknown.items():
        raise VariorumError(
            f"{branch} cannot be planned ({why}) and holds no .dvc files, so what it needs is not "
            "known; mend it, or --ignore it and what it alone needs can go"
        )


class _Decision:
    """Sorts what is there into what goes and what stays."""

    def __init__(self, store: Store, vault: Vault, known: Needs) -> None:
        self.store, self.vault, self.known = store, vault, known
        self.here = set(refs(store))
        self.unfinished = _unfinished(store)
        self.busy = closure(_at_work(store, self.unfinished), self._upstream)

    def _upstream(self, ref: Ref) -> Collection[Ref] | None:
        if ref in self.unfinished:
            with suppress(StoreError):
                return handed_over(self.store, ref).spec.upstream.values()
        return self.vault.upstream(ref)

    def removal(self, unstored: bool) -> Removal:
        every = self.here | _pinned_here(self.store.root)
        unneeded = {ref for ref in every if ref not in self.known.serves}
        reasons = {ref: why for ref in unneeded if (why := self._why_not(ref, unstored))}
        below = closure(reasons, self._upstream) & unneeded
        left = {**dict.fromkeys(below, STANDS_BELOW), **reasons}
        going = sorted(unneeded - left.keys(), key=lambda ref: (*order(ref), ref))
        staying = sorted(left, key=lambda ref: (*order(ref), ref))
        return Removal(
            tuple(map(self._row, going)),
            tuple(self._leftovers(unstored)),
            tuple((self._row(ref), left[ref]) for ref in staying),
            len(self.here - unneeded),
            self.known.by_files,
            self.known.n_branches,
        )

    def _why_not(self, ref: Ref, unstored: bool) -> str | None:
        """Why a result that nobody needs has to stay; None if it can go."""
        if ref in self.busy:
            return BEING_MADE if ref in self.unfinished else "a running process needs it"
        lack = self.vault.lacks(ref) if ref in self.here else self.vault.lacks_pin(ref)
        if lack and not unstored:
            return f"{lack} ({UNSTORED})"
        if lack and self.known.by_files:
            branch = next(iter(self.known.by_files))
            return f"{lack}, and {branch}, which cannot be planned, might need it (--ignore)"
        return None

    def _row(self, ref: Ref) -> Row:
        if self.store.folder(ref).is_dir():
            found = row(self.store, ref)
            return replace(found, n_bytes=size_of(self.store.folder(ref)))
        moment = self.store.pin(ref).stat().st_mtime
        return Row(ref, "", 0, moment, None, (), damaged=ONLY_PINNED)

    def _leftovers(self, unstored: bool) -> Iterator[Leftover]:
        """What dead processes left; what can be gone on with, or lay in the way, if `unstored`.

        Not while a branch that cannot be planned might want it.
        """
        scratch = self.store.root / "scratch"
        unstored = unstored and not self.known.by_files
        for folder in _folders(scratch):
            ref = Ref(folder.parent.name, folder.name)
            needed = ref in self.known.serves or ref in self.busy
            if not needed and (unstored or not any(folder.glob(STATES))):
                yield self._leftover(folder, _label(folder), ref)
        for path in sorted(scratch.glob("aside/*/*") if unstored else ()):
            yield self._leftover(path, "lay in the place of a result")
        for path in sorted((self.store.root / TRASH).glob("*")):
            yield self._leftover(path, "was being removed")
        for name, lock, command in (
            (ADOPTIONS, ADOPTING, "adopt"),
            (RERUNS, RERUNNING, "verify --rerun"),
        ):
            if (self.store.root / name).is_dir() and lock not in self.busy:
                yield self._leftover(self.store.root / name, f"left by `variorum {command}`", lock)
        if not self.busy:  # else a process may run from there
            used = {digest(self.store.root, text) for text in self.known.codes}
            for path in sorted((self.store.root / CODE_FOLDER).glob("*")):
                if path.name not in used:
                    yield self._leftover(path, "code that no ablation here runs")

    def _leftover(self, path: Path, what: str, ref: Ref | None = None) -> Leftover:
        return Leftover(path.relative_to(self.store.root), size_of(path), what, ref)


def _pinned_here(root: Path) -> set[Ref]:
    files = root.glob("results/*/*.dvc")
    return {Ref(file.parent.name, file.stem) for file in files if KEY.fullmatch(file.stem)}


def _folders(scratch: Path) -> list[Path]:
    """Where stages work, or were to."""
    found = sorted(scratch.glob("*/*"))
    return [path for path in found if KEY.fullmatch(path.name) and path.parent.name != "aside"]


def _label(folder: Path) -> str:
    """What the unfinished result in a scratch folder is called."""
    try:
        label = json.loads((folder / SPEC).read_text(encoding="utf-8"))["label"]
    except (OSError, ValueError, KeyError, TypeError):
        return "unfinished"
    return f"{label}, unfinished"


# What processes are doing


def _unfinished(store: Store) -> set[Ref]:
    """Results that were planned to be made and are not."""
    specs = store.root.glob(f"scratch/*/*/{SPEC}")
    return {Ref(*path.parts[-3:-1]) for path in specs}


def _at_work(store: Store, unfinished: set[Ref]) -> set[Ref]:
    """What processes make or are about to make, and what else they hold the lock of."""
    return {*_locked(store), *(unfinished if _snakemake_runs(store.root) else ())}


def _locked(store: Store) -> Iterator[Ref]:
    """Results, and turns at other work, that a process holds the lock of."""
    for path in store.root.glob("scratch/locks/*"):
        if _is_held(path):
            yield Ref(*path.name.rpartition("-")[::2])


def _snakemake_runs(root: Path) -> bool:
    """Whether a Snakemake that has not ended planned here."""
    return _is_held(root / ".snakemake/variorum.lock")


def _is_held(lock: Path) -> bool:
    """Whether a process holds a lock. To see that, it is taken for a moment, if it is free."""
    try:
        with lock.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


# Doing


class _BusyError(Exception):
    """A process took the lock of what was to be removed."""


def remove(root: Path, chosen: Removal) -> Removal:
    """Remove what was chosen; what processes make now stays, with all that it is made from.

    That is looked up once, as this begins. Gives what was removed. Raises `VariorumError` if the
    disk refuses.
    """
    store = Store(root)
    try:
        (root / TRASH).mkdir(parents=True, exist_ok=True)
        trash = Path(tempfile.mkdtemp(dir=root / TRASH))
        # What others stand on goes last, so that whatever remains of a chain is its beginning.
        upstream = partial(_upstream_here, store)
        results, stays = [], closure(_at_work(store, _unfinished(store)), upstream)
        for row in tqdm(chosen.results[::-1], "removing", leave=False, disable=None):
            if row.ref not in stays and _remove(store, row.ref, trash):
                results.append(row)
            else:
                stays |= closure([row.ref], upstream)
        parts = [part for part in chosen.leftovers if _remove_leftover(store, part, trash)]
        asides = root / "scratch/aside"
        for folder in (trash, trash.parent, *asides.glob("*"), asides):
            with suppress(OSError):
                folder.rmdir()
    except OSError as error:
        raise VariorumError(
            f"{error.filename}: could not be removed ({error.strerror}); every result is whole or "
            "gone. Put that right and run `variorum gc` again"
        ) from error
    return replace(chosen, results=tuple(reversed(results)), leftovers=tuple(parts))


def _upstream_here(store: Store, ref: Ref) -> Collection[Ref] | None:
    """What a result was made from, or is being made from."""
    with suppress(StoreError):
        return store.glance(ref).spec.upstream.values()
    with suppress(StoreError):
        return handed_over(store, ref).spec.upstream.values()
    return None


def _remove(store: Store, ref: Ref, trash: Path) -> bool:
    with suppress(_BusyError), store.locked(ref, _refuse):
        if store.folder(ref).exists():
            _delete(store.folder(ref), trash / f"{ref.stage}-{ref.key}")
        store.pin(ref).unlink(missing_ok=True)
        return True
    return False


def _remove_leftover(store: Store, part: Leftover, trash: Path) -> bool:
    lock = store.locked(part.ref, _refuse) if part.ref else nullcontext()
    with suppress(_BusyError, FileNotFoundError), lock:
        _delete(store.root / part.path, trash / "-".join(part.path.parts))
        return True
    return False


def _delete(path: Path, trash: Path) -> None:
    """Delete a file or folder; in its place it is there as a whole, or not at all."""
    path.rename(trash)
    if trash.is_dir() and not trash.is_symlink():
        shutil.rmtree(trash)
    else:
        trash.unlink()


def _refuse() -> None:
    raise _BusyError
