"""Pins sources: gives every source of text the SHA-256 that its key stands on.

A source that names its checksum is left as it is. Files are hashed where they lie. An address
without a checksum is looked up in `config/sources.lock`, as Cargo does: a missing entry is made by
downloading once, and announced, unless the environment variable VARIORUM_LOCKED forbids it. From
then on another answer of the address is an error with two remedies: the locked bytes, or the new
ones by `variorum lock --accept`.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from variorum.atomic import write_atomically
from variorum.config import FilesSource, Source, UrlSource
from variorum.corpus.fetching import MIRRORS, context_of
from variorum.corpus.sources import files
from variorum.errors import Stopped, VariorumError
from variorum.experiments import (
    LoadedExperiment,
    ablation_names,
    experiment_names,
    load_ablation,
    load_experiment,
    named_experiment,
)
from variorum.store import Ref, Store, sha256_of

LOCK = "config/sources.lock"
HEADER = "# What each address held when it was first used. Keys stand on these; commit this file.\n"

LOCKED = "VARIORUM_LOCKED"
"""Set to 1, no command adds or changes an entry: for CI, and wherever nobody looks."""

_HOLDS_LOCK = Ref("sources", "lock")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """What an address held: the SHA-256 of its bytes, and how many they were."""

    sha256: str
    n_bytes: int

    def __str__(self) -> str:
        return f"{self.sha256} ({self.n_bytes:,} bytes)"


@dataclass(frozen=True)
class Unlocked:
    """An address that a configuration file uses and the lock has no entry for."""

    url: str
    place: str

    def __str__(self) -> str:
        return f"{self.place}: {LOCK} has no entry for {self.url}; {_REMEDY}"


_REMEDY = "run `variorum lock`, look at what came, and commit the file; or give the source's sha256"


def is_locked() -> bool:
    """Whether the environment forbids to change the lock."""
    return os.environ.get(LOCKED, "") not in ("", "0")


def pinned(source: Source, root: Path, *, offline: bool = False) -> Source:
    """The source with its SHA-256 filled in.

    Raises `VariorumError` if its files do not exist, if it cannot be downloaded, or, with
    `offline` or where VARIORUM_LOCKED is set, if it has yet to be locked.
    """
    if source.sha256 is not None:
        return source
    if isinstance(source, FilesSource):
        return source.model_copy(
            update={"sha256": files.digest(source.path, source.suffixes, root)}
        )
    assert isinstance(source, UrlSource)
    return source.model_copy(update={"sha256": _locked(source.url, root, offline).sha256})


def check_length(source: Source, root: Path, context_length: int) -> None:
    """Raise `VariorumError` if the files hold fewer bytes than a context has tokens."""
    if not isinstance(source, FilesSource):
        return
    found = files.find(source.path, source.suffixes, root)
    size = sum(file.stat().st_size for file in found)
    if size <= context_length:
        raise VariorumError(
            f"{source.path} holds {size:,} bytes, which is shorter than model.context_length = "
            f"{context_length:,}; shorten that or bring more text"
        )


def _locked(url: str, root: Path, offline: bool) -> Entry:
    entry = entries(root).get(url)
    if entry is None and offline:
        raise VariorumError(f"unlocked: {LOCK} has no entry for {url}; {_REMEDY}")
    if entry is None and is_locked():
        raise VariorumError(
            f"unlocked: {LOCK} has no entry for {url}, and {LOCKED} forbids to add one; where it "
            f"is not set, {_REMEDY}"
        )
    return entry or _add(url, root)


def _add(url: str, root: Path) -> Entry:
    """Lock an address, unless another process did so meanwhile."""
    with _held(root):
        known = entries(root)
        if url not in known:
            _say(f"locking {url}")
            known[url] = _downloaded(url, root)
            _write(root, known)
            _say(f"{LOCK}: {url} = {known[url]}; commit it")
    return known[url]


@contextmanager
def _held(root: Path) -> Iterator[None]:
    """Only one process at a time may change the lock, from reading it to writing it."""
    waiting = f"waits for another process that changes {LOCK}"
    with Store(root).locked(_HOLDS_LOCK, lambda: _say(waiting)):
        yield


def _downloaded(url: str, root: Path) -> Entry:
    from variorum.corpus.sources.url import download  # a client that most plans have no use for

    file = download(url, None, context_of(root, _say))
    return Entry(sha256_of(file), file.stat().st_size)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# The file


def entries(root: Path) -> dict[str, Entry]:
    """What the lock says, by address. Raises `VariorumError` if it is damaged."""
    path = root / LOCK
    if not path.is_file():
        return {}
    try:
        return read(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = " ".join(str(error.problem).split())
    except (YAMLError, ValueError, AttributeError, KeyError, TypeError):
        line, problem = "", "an address has not both its sha256 and its bytes"
    raise VariorumError(
        f"{LOCK}{line}: cannot be read ({problem}); restore it with `git checkout -- {LOCK}`, or, "
        "after a merge, keep the lines of both sides"
    )


def read(text: str) -> dict[str, Entry]:
    """The entries in the text of a lock file; raises some error if it is none."""
    found = YAML(typ="safe").load(text) or {}
    return {str(url): _entry(entry) for url, entry in found.items()}


def written(known: dict[str, Entry]) -> str:
    """The text of the lock file: sorted, so that a new entry is a few new lines to git."""
    lines = [HEADER]
    for url, entry in sorted(known.items()):
        # Quoted as well, because a hash may look like a number.
        lines += [f"{_quoted(url)}:\n", f'  sha256: "{entry.sha256}"\n']
        lines += [f"  bytes: {entry.n_bytes}\n"]
    return "".join(lines)


def _quoted(text: str) -> str:
    """Any text as YAML reads it, which takes JSON's escapes of surrogates for two characters."""
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub("[^ -~]", lambda found: f"\\U{ord(found[0]):08x}", quoted)


def _entry(data: Any) -> Entry:
    sha256, n_bytes = data["sha256"], data["bytes"]
    if not _SHA256.fullmatch(sha256) or type(n_bytes) is not int or n_bytes < 0:
        raise ValueError
    return Entry(sha256, n_bytes)


def _write(root: Path, known: dict[str, Entry]) -> None:
    write_atomically(root / LOCK, written(known).encode())


# The command


def resolve(root: Path) -> list[str]:
    """Lock every address that the project uses and has not locked; gives those."""
    added = list(dict.fromkeys(missing.url for missing in unlocked(root)))
    if added:
        _refuse_if_locked()
    for url in added:
        _add(url, root)
    return added


def check(root: Path) -> int:
    """How many addresses are locked; raises `VariorumError` that names each one that is not."""
    if missing := unlocked(root):
        raise VariorumError("\n".join(map(str, missing)))
    return len(entries(root))


def accept(url: str, root: Path) -> tuple[Entry, Entry]:
    """Take what an address holds now in place of what is locked; gives the old and the new."""
    _refuse_if_locked()
    with _held(root):
        known = entries(root)
        if url not in known:
            raise VariorumError(_not_locked(url, root, known))
        old = known[url]
        known[url] = _downloaded(url, root)
        _write(root, known)
    return old, known[url]


def _refuse_if_locked() -> None:
    if is_locked():
        raise VariorumError(f"{LOCKED} is set, so {LOCK} stays as it is; unset it to change that")


def _not_locked(url: str, root: Path, known: dict[str, Entry]) -> str:
    given = [place for place, source in _addresses(root) if source.url == url and source.sha256]
    if given:
        return f"{given[0]}: gives the sha256 of {url} itself; change it there"
    return f"{LOCK} has no entry for {url}; it has {', '.join(sorted(known)) or 'none at all'}"


def unlocked(root: Path) -> list[Unlocked]:
    """Every address without a checksum, of all experiments and ablations, that is not locked."""
    known = entries(root)
    return [
        Unlocked(source.url, place)
        for place, source in _addresses(root)
        if source.sha256 is None and source.url not in known
    ]


def _addresses(root: Path) -> Iterator[tuple[str, UrlSource]]:
    """Every address that the configuration names, with its file and line, once each."""
    seen = set()
    for loaded in _experiments(root):
        for side in ("base", "domain"):
            corpus = getattr(loaded.settings.corpus, side)
            if corpus and isinstance(corpus.source, UrlSource):
                place = loaded.layers.origin(("corpus", side, "source", "url"))
                if (place, corpus.source) not in seen:
                    seen.add((place, corpus.source))
                    yield place, corpus.source


def _experiments(root: Path) -> Iterator[LoadedExperiment]:
    yield load_experiment(root)
    for name in experiment_names(root):
        yield named_experiment(root, name)
    for name in ablation_names(root):
        yield from load_ablation(root, name).variants.values()


# When a download cannot give the bytes that were asked for


@contextmanager
def remedies(root: Path, ref: Ref) -> Iterator[None]:
    """Say with an error of a download how to get on: with the stored bytes, or with the new."""
    try:
        yield
    except VariorumError as error:
        if ref.stage != "download" or isinstance(error, Stopped):
            raise
        raise _with_remedies(error, root, ref) from None


def _with_remedies(error: VariorumError, root: Path, ref: Ref) -> VariorumError:
    from variorum.corpus.sources.url import ChecksumError

    stored = Store(root).pin(ref)
    pull = f"`dvc pull {stored.relative_to(root)}`" if stored.is_file() else ""
    if not isinstance(error, ChecksumError):
        return VariorumError(f"{error} Or bring what was stored: {pull}.") if pull else error
    entry = entries(root).get(error.url)
    if entry is not None and entry.sha256 == error.expected:
        says, accept_new = f", as {LOCK} says", f"`variorum lock --accept {error.url}`"
    else:
        says, accept_new = "", f"source.sha256: {error.found}"
    kept = error.kept.relative_to(root) if error.kept.is_relative_to(root) else error.kept
    bring = pull or f"`dvc pull` results/{ref}, if a clone stored it"
    return VariorumError(
        f"{error.url} has SHA-256 {error.found}, expected {error.expected}{says}; its bytes are "
        f"kept at {kept}. Either bring the expected ones ({bring}; or put the file into a folder "
        f"that {MIRRORS} names), or accept the new ones ({accept_new}): then keys change, and old "
        "results stay."
    )
