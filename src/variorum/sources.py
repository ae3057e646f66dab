"""Pins sources: gives every source of text the SHA-256 that its key stands on.

A source that names its checksum is left as it is. Files are hashed where they lie. An address
without a checksum is looked up in `config/sources.lock`; a missing entry is made by downloading
once, and announced.
"""

import json
import sys
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from variorum.atomic import write_atomically
from variorum.config import FilesSource, Source, UrlSource
from variorum.corpus.fetching import context_of
from variorum.corpus.sources import files
from variorum.errors import VariorumError
from variorum.store import sha256_of

LOCK = "config/sources.lock"
HEADER = "# What each address held when it was first used. Keys stand on these; commit this file.\n"


def pinned(source: Source, root: Path, *, offline: bool = False) -> Source:
    """The source with its SHA-256 filled in.

    Raises `VariorumError` if its files do not exist, if it cannot be downloaded, or, with
    `offline`, if it has yet to be locked.
    """
    if source.sha256 is not None:
        return source
    if isinstance(source, FilesSource):
        return source.model_copy(
            update={"sha256": files.digest(source.path, source.suffixes, root)}
        )
    assert isinstance(source, UrlSource)
    return source.model_copy(update={"sha256": _locked(source, root, offline)})


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


def _locked(source: UrlSource, root: Path, offline: bool) -> str:
    from variorum.corpus.sources import url  # an HTTP client, which most plans have no use for

    entries = _read(root)
    if source.url not in entries:
        if offline:
            raise VariorumError(
                f"{LOCK}: unlocked: {source.url} has no entry yet; run without -n once to make it, "
                "or give the source's sha256"
            )
        _announce(f"locking {source.url}")
        file = url.download(source.url, None, context_of(root, _announce))
        entries[source.url] = {"sha256": sha256_of(file), "bytes": file.stat().st_size}
        _write(root, entries)
        _announce(f"{LOCK}: {source.url} = {entries[source.url]['sha256']}; commit it")
    return str(entries[source.url]["sha256"])


def _read(root: Path) -> dict[str, dict[str, str | int]]:
    path = root / LOCK
    if not path.is_file():
        return {}
    try:
        entries = YAML(typ="safe").load(path.read_text(encoding="utf-8")) or {}
        whole = all(entry["sha256"] and entry["bytes"] for entry in entries.values())
    except (YAMLError, ValueError, AttributeError, KeyError, TypeError):
        whole = False
    if not whole:
        raise VariorumError(
            f"{LOCK}: not addresses with their sha256 and bytes; restore it with git checkout"
        )
    return dict(entries)


def _write(root: Path, entries: dict[str, dict[str, str | int]]) -> None:
    lines = [HEADER]
    for address, entry in sorted(entries.items()):
        quoted = json.dumps(address)  # it may hold what YAML reads as something else
        lines += [f"{quoted}:\n", f"  sha256: {entry['sha256']}\n", f"  bytes: {entry['bytes']}\n"]
    write_atomically(root / LOCK, "".join(lines).encode())


def _announce(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
