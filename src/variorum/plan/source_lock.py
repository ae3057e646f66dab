"""Find and record the SHA-256 of every source of text, which enters keys.

A source that names its checksum is left as it is. Files are hashed where they lie. A source whose
answer may change (an address, a query to an API) and that has no checksum is looked up in
`config/sources.lock`, as Cargo does: a missing entry is made by asking once, and announced, unless
the environment variable VARIORUM_LOCKED forbids it. From then on another answer is an error with
two remedies: the locked bytes, or the new ones by `variorum lock --accept`.

The lock holds SHA-256 and size: of an address its bytes, of an API the documents made of its
answers. Each kind of source tells it by `ChangingSource.held`.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from variorum.base.counts import counted
from variorum.base.errors import Stopped, VariorumError
from variorum.base.locks import LockFile
from variorum.config.model_settings import ImportedSettings
from variorum.corpus.fetch_context import ChecksumError, context_of, sha256_of_files
from variorum.corpus.source import ChangingSource, LocalSource
from variorum.corpus.source_kinds import KINDS, Source
from variorum.identity.spec import Ref, Spec
from variorum.model.imported_files import files_of
from variorum.plan.ablation_loading import ablation_names, load_ablation
from variorum.plan.loading import (
    LoadedExperiment,
    experiment_names,
    load_experiment,
    named_experiment,
)
from variorum.store.store import Store

LOCK = "config/sources.lock"

LOCKED = "VARIORUM_LOCKED"
"""Set to 1, no command adds or changes an entry: for CI, and wherever nobody looks."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class LockedSource:
    """Hold what a source held: the SHA-256 and the number of its bytes."""

    sha256: str
    n_bytes: int

    def __str__(self) -> str:
        return f"{self.sha256} ({counted(self.n_bytes, 'byte')})"


def _decode(fields: Mapping[str, Any]) -> LockedSource:
    sha256, n_bytes = fields["sha256"], fields["bytes"]
    if not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise ValueError("sha256")
    if type(n_bytes) is not int or n_bytes < 0:
        raise ValueError("bytes")
    return LockedSource(sha256, n_bytes)


FILE = LockFile(
    LOCK,
    "# What each source held when it was first used. Keys stand on these; commit this file.\n",
    "a SHA-256 and a number of bytes",
    _decode,
    lambda entry: {"sha256": entry.sha256, "bytes": entry.n_bytes},
)


@dataclass(frozen=True)
class Unlocked:
    """Hold a source that a configuration file uses and the lock has no entry for."""

    source: ChangingSource
    place: str

    def __str__(self) -> str:
        return f"{self.place}: {LOCK} has no entry for {self.source.lock_name}; {_REMEDY}"


_REMEDY = "run `variorum lock`, look at what came, and commit the file; or give the source's sha256"


def is_locked() -> bool:
    """Check whether the environment forbids changing the lock."""
    return os.environ.get(LOCKED, "") not in ("", "0")


def pinned(source: Source, root: Path, *, offline: bool = False) -> Source:
    """Return the source with its SHA-256 filled in.

    Raises `VariorumError` if its files do not exist, if it cannot be downloaded, or, with
    `offline` or where VARIORUM_LOCKED is set, if it has yet to be locked.
    """
    if isinstance(source, LocalSource) and source.sha256 is None:
        return source.model_copy(update={"sha256": source.sha256_here(root)})
    if isinstance(source, ChangingSource) and source.sha256 is None:
        return source.model_copy(update={"sha256": _locked(source, root, offline).sha256})
    return source


def pinned_import(imported: ImportedSettings, root: Path) -> ImportedSettings:
    """Return the imported model with its SHA-256; raises `VariorumError` if it is missing."""
    if imported.sha256 is not None:
        return imported
    return imported.model_copy(update={"sha256": digest_of_import(imported.path, root)})


def digest_of_import(path: str, root: Path) -> str:
    """Return the SHA-256 over the files of a model in the folder `path`."""
    folder = root / Path(path).expanduser()
    return sha256_of_files(files_of(folder), folder)


def check_length(source: Source, size: int | None, context_length: int) -> None:
    """Raise `VariorumError` if the text has fewer bytes here than a context has tokens."""
    if size is not None and size <= context_length:
        raise VariorumError(
            f"{source.title} holds {counted(size, 'byte')}, which is shorter than "
            f"model.context_length = "
            f"{context_length:,}; shorten that or bring more text"
        )


def _locked(source: ChangingSource, root: Path, offline: bool) -> LockedSource:
    name = source.lock_name
    entry = entries(root).get(name)
    if entry is None and offline:
        raise VariorumError(f"unlocked: {LOCK} has no entry for {name}; {_REMEDY}")
    if entry is None and is_locked():
        raise VariorumError(
            f"unlocked: {LOCK} has no entry for {name}, and {LOCKED} forbids to add one; where it "
            f"is not set, {_REMEDY}"
        )
    return entry or _add(source, root)


def _add(source: ChangingSource, root: Path) -> LockedSource:
    """Add a source to the lock, unless another process did so meanwhile."""
    name = source.lock_name
    with FILE.changing(root, say) as known:
        if name in known:
            return known[name]
        say(f"locking {name}")
        known[name] = _held(source, root)
    say(f"{LOCK}: {name} = {known[name]}; commit it")
    return known[name]


def _held(source: ChangingSource, root: Path) -> LockedSource:
    """Return what a source holds now."""
    return LockedSource(*source.held(context_of(root, say)))


def say(text: str) -> None:
    """Report something while planning, beside what the command prints."""
    print(text, file=sys.stderr, flush=True)


def entries(root: Path) -> dict[str, LockedSource]:
    """Return what the lock says, by name. Raises `VariorumError` if it is damaged."""
    return FILE.read(root)


# The command


def resolve(root: Path, experiments: Sequence[str] = ()) -> list[str]:
    """Add missing sources of the project, or of these experiments; returns their names.

    Raises `VariorumError` at the end, one line for each that gave no answer.
    """
    added = {missing.source.lock_name: missing.source for missing in unlocked(root, experiments)}
    if added:
        refuse_if_locked(LOCK)
    faults = []
    for source in added.values():
        try:
            _add(source, root)
        except VariorumError as error:
            faults.append(str(error))
    if faults:
        raise VariorumError("\n".join(faults))
    return list(added)


def check(root: Path, experiments: Sequence[str] = ()) -> int:
    """Return how many sources are locked; raises `VariorumError` that names missing ones."""
    if missing := unlocked(root, experiments):
        raise VariorumError("\n".join(map(str, missing)))
    return len(entries(root))


def accept(name: str, root: Path) -> tuple[LockedSource, LockedSource]:
    """Replace what is locked of a source by its present content; returns both."""
    refuse_if_locked(LOCK)
    with FILE.changing(root, say) as known:
        if name not in known:
            raise VariorumError(_not_locked(name, root, known))
        old = known[name]
        known[name] = _held(_named(name, root), root)
    return old, known[name]


def _named(name: str, root: Path) -> ChangingSource:
    """Return the source that has a name in the lock."""
    for kind in KINDS.values():
        if issubclass(kind, ChangingSource) and (source := kind.called(name)):
            return source
    for _, source in _changing(root):
        if source.lock_name == name:
            return source
    raise VariorumError(f"no configuration file uses {name}, so it cannot be asked again")


def refuse_if_locked(file: str) -> None:
    """Raise `VariorumError` if the environment forbids to change a lock file."""
    if is_locked():
        raise VariorumError(f"{LOCKED} is set, so {file} stays as it is; unset it to change that")


def _not_locked(name: str, root: Path, known: dict[str, LockedSource]) -> str:
    given = [
        place for place, source in _changing(root) if source.lock_name == name and source.sha256
    ]
    if given:
        return f"{given[0]}: gives the sha256 of {name} itself; change it there"
    return f"{LOCK} has no entry for {name}; it has {', '.join(sorted(known)) or 'none at all'}"


def unlocked(root: Path, experiments: Sequence[str] = ()) -> list[Unlocked]:
    """Return every source without a checksum that is not locked.

    Of these experiments; without any, of all, and of all ablations.
    """
    known = entries(root)
    return [
        Unlocked(source, place)
        for place, source in _changing(root, experiments)
        if source.sha256 is None and source.lock_name not in known
    ]


def _changing(root: Path, experiments: Sequence[str] = ()) -> Iterator[tuple[str, ChangingSource]]:
    """Yield each source of the configuration that may change, with its file and line."""
    seen = set()
    chosen = (named_experiment(root, name) for name in experiments)
    for loaded in chosen if experiments else _experiments(root):
        for side in ("base", "domain"):
            corpus = getattr(loaded.settings.corpus, side)
            if corpus and isinstance(corpus.source, ChangingSource):
                asked_by = corpus.source.asked_by
                place = loaded.layers.origin(("corpus", side, "source", asked_by))
                if (place, corpus.source) not in seen:
                    seen.add((place, corpus.source))
                    yield place, corpus.source


def _experiments(root: Path) -> Iterator[LoadedExperiment]:
    yield load_experiment(root)
    for name in experiment_names(root):
        yield named_experiment(root, name)
    for name in ablation_names(root):
        yield from load_ablation(root, name).experiments


# When a download cannot give the bytes that were asked for


@contextmanager
def remedies(root: Path, spec: Spec) -> Iterator[None]:
    """Add remedies to a download's error: use the stored bytes, or the new ones."""
    try:
        yield
    except VariorumError as error:
        if "source" not in spec.settings or isinstance(error, Stopped):
            raise
        raise _with_remedies(error, root, spec.ref) from None


def _with_remedies(error: VariorumError, root: Path, ref: Ref) -> VariorumError:
    stored = Store(root).pin(ref)
    pull = f"`dvc pull {stored.relative_to(root)}`" if stored.is_file() else ""
    if not isinstance(error, ChecksumError):
        return VariorumError(f"{error} Or bring what was stored: {pull}.") if pull else error
    entry = entries(root).get(error.name)
    if entry is not None and entry.sha256 == error.expected:
        says = f", as {LOCK} says"
        accept_new = f"`variorum lock --accept {shlex.quote(error.name)}`"
    else:
        says, accept_new = "", f"source.sha256: {error.found}"
    kept = error.kept.relative_to(root) if error.kept.is_relative_to(root) else error.kept
    bring = pull or f"`dvc pull` results/{ref}, if a clone stored it"
    return VariorumError(
        f"{error.name} has SHA-256 {error.found}, expected {error.expected}{says}; what came is "
        f"kept at {kept}. Either bring the expected answer ({bring}{error.elsewhere}), or accept "
        f"the new one ({accept_new}): then keys change, and old results stay."
    )
