"""Record where and when results were made, and by which source.

`run.json` and `code.json` may differ between two runs that make one result, so its `.dvc` file
excludes them. They travel in records: one file for all results of a run, named by its content.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from variorum.base.atomic import write_atomically
from variorum.base.progress import say
from variorum.identity.spec import KEY_LENGTH, Ref
from variorum.store.dvc_cache import pinned_by
from variorum.store.result import CODE, RUN, StoreError, readable_json
from variorum.store.store import Store

RECORDS = "results/records"


def record(store: Store) -> None:
    """Write a record of every result that has none yet."""
    recorded = {name for _, results in _records(store.root) for name in results}
    facts: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for ref in store.refs():
        if str(ref) in recorded or not (store.folder(ref) / RUN).is_file():
            continue
        with suppress(StoreError):  # a damaged result is named where it is needed
            result = store.open(ref)
            code = {symbol: _digest(text) for symbol, text in result.code.items()}
            sources |= {code[symbol]: text for symbol, text in result.code.items()}
            facts[str(ref)] = {"run": result.run, "code": code}
    if facts:
        text = readable_json({"results": facts, "sources": sources})
        name = f"{_digest(text)[:KEY_LENGTH]}.json"
        write_atomically(store.root / RECORDS / name, text.encode())


def new_records(root: Path) -> list[Path]:
    """Return the records that no `.dvc` file pins yet."""
    records = sorted((root / RECORDS).glob("*.json"))
    return [path for path in records if pinned_by(path.with_name(f"{path.name}.dvc")) is None]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _records(root: Path) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Yield the sources by hash and the facts by result of every intact record."""
    for path in sorted((root / RECORDS).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            yield content["sources"], content["results"]
        except (ValueError, KeyError, TypeError):
            file = path.relative_to(root)
            say(f"{file} is cut off; restore it with `dvc checkout --force {file}.dvc`")


def recorded_runs(store: Store, ref: Ref) -> Iterator[dict[str, Any]]:
    """Yield `run.json` of every run of a result that a record holds."""
    for _, results in _records(store.root):
        if str(ref) in results:
            yield dict(results[str(ref)]["run"])


def has_records_elsewhere(root: Path) -> bool:
    """Check whether git names records that DVC has not brought here."""
    named = (root / RECORDS).glob("*.json.dvc")
    return any(not path.with_suffix("").is_file() for path in named)


def has_record(store: Store, ref: Ref) -> bool:
    """Check whether a record has `run.json` and `code.json` of a result."""
    return any(str(ref) in results for _, results in _records(store.root))


def missing_run_info(store: Store) -> Iterator[tuple[Ref, dict[str, Any]]]:
    """Yield `run.json` and `code.json` from the records, for results that lack them."""
    without = {str(ref) for ref in store.refs() if not (store.folder(ref) / RUN).is_file()}
    for sources, results in _records(store.root) if without else ():
        for name in without & results.keys():
            code = {symbol: sources[digest] for symbol, digest in results[name]["code"].items()}
            yield Ref.parse(name), {CODE: code, RUN: results[name]["run"]}
            without.discard(name)


def restore_run_info(store: Store) -> None:
    """Write `run.json` and `code.json` from the records into results that lack them."""
    for ref, facts in missing_run_info(store):
        for file, content in facts.items():  # run.json last: it says that both are there
            write_atomically(store.folder(ref) / file, readable_json(content).encode())
