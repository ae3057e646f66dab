"""Record where and when results were made, and by which source.

`run.json` and `code.json` may differ between two runs that make one result, so its `.dvc` file
excludes them. They travel in records: one file for all results of a run, named by its content.
Results of one key may have other bytes on another platform, so an entry names the manifest.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from variorum.base.atomic import write_atomically
from variorum.base.progress import say
from variorum.identity.spec import KEY_LENGTH, Ref
from variorum.store.dvc_cache import DvcCache, pinned_by
from variorum.store.result import CODE, MADE, RUN, StoreError, manifest_digest, readable_json
from variorum.store.store import Store

RECORDS = "results/records"


def record(store: Store) -> None:
    """Write a record of every result that has none yet."""
    recorded = {(name, digest): entry[RUN] for name, digest, entry in _entries(store.root)}
    facts: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for ref in store.refs():
        if (str(ref), None) in recorded or not (store.folder(ref) / RUN).is_file():
            continue
        with suppress(StoreError):  # a damaged result is named where it is needed
            result = store.open(ref)
            digest = manifest_digest(result.manifest)
            others = [run for (name, _), run in recorded.items() if name == str(ref)]
            if (str(ref), digest) in recorded or not result.run or result.run in others:
                continue  # `dvc pull` replaces a result, and leaves the old `run.json` there
            code = {symbol: _digest(text) for symbol, text in result.code.items()}
            sources |= {code[symbol]: text for symbol, text in result.code.items()}
            facts[str(ref)] = {"manifest": digest, "run": result.run, "code": code}
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
    yield from _fetched(root)


def _fetched(root: Path) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Yield the records that only DVC's cache has, as after `dvc fetch`."""
    cache = DvcCache(root)
    for pin in sorted((root / RECORDS).glob("*.json.dvc")):
        md5 = None if pin.with_suffix("").exists() else pinned_by(pin)
        content = cache.json(md5) if md5 else None
        if isinstance(content, dict) and {"sources", "results"} <= content.keys():
            yield content["sources"], content["results"]


def _entries(root: Path) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Yield each entry with its result and that one's manifest digest; old entries have none."""
    for sources, results in _records(root):
        for name, entry in results.items():
            code = {symbol: sources[digest] for symbol, digest in entry["code"].items()}
            yield name, entry.get("manifest"), {CODE: code, RUN: entry["run"]}


def recorded_runs(root: Path) -> list[tuple[Ref, str | None, Mapping[str, Any]]]:
    """Return each entry's result, the digest of its manifest, and its `run.json`.

    An entry from before there were digests has None.
    """
    return [(Ref.parse(name), digest, facts[RUN]) for name, digest, facts in _entries(root)]


def has_records_elsewhere(root: Path) -> bool:
    """Check whether git names records that DVC has brought neither here nor into its cache."""
    named = (root / RECORDS).glob("*.json.dvc")
    absent = [pin for pin in named if not pin.with_suffix("").is_file()]
    cache = DvcCache(root)
    return any(cache.json(pinned_by(pin) or "") is None for pin in absent)


def has_record(store: Store, ref: Ref) -> bool:
    """Check whether a record has `run.json` and `code.json` of a result as it is here."""
    digests = (_manifest_here(store, str(ref)), None)
    return any(str(ref) == name and of in digests for name, of, _ in _entries(store.root))


def missing_run_info(store: Store) -> Iterator[tuple[Ref, dict[str, Any]]]:
    """Yield `run.json` and `code.json` from the records, for results that lack them."""
    if not any((store.root / RECORDS).glob("*.json*")):
        return
    lacking = [ref for ref in store.refs() if _lacks_run_info(store, ref)]
    without = {str(ref): _manifest_here(store, str(ref)) for ref in lacking}
    for name, digest, facts in _entries(store.root) if without else ():
        if name in without and digest in (without[name], None):
            yield Ref.parse(name), facts
            del without[name]


def _lacks_run_info(store: Store, ref: Ref) -> bool:
    """Check whether `run.json` is missing, or may be that of other bytes.

    `dvc pull` replaces a result by the shared one and leaves files that are not pinned. What was
    made before `run.json` named its manifest is compared with the pins.
    """
    try:
        run = store.peek(ref).run
    except StoreError:
        return False
    pins = [pinned_by(pin) for pin in (store.pin(ref), store.own_pin(ref))]
    return not run or (MADE not in run and all(pins) and pins[0] != pins[1])


def _manifest_here(store: Store, name: str) -> str | None:
    with suppress(StoreError):
        return manifest_digest(store.peek(Ref.parse(name)).manifest)
    return None


def restore_run_info(store: Store) -> None:
    """Write `run.json` and `code.json` from the records into results that lack them.

    What is there already is not written again.
    """
    for ref, facts in missing_run_info(store):
        if store.peek(ref).run == facts[RUN]:
            continue
        for file, content in facts.items():  # run.json last: it says that both are there
            write_atomically(store.folder(ref) / file, readable_json(content).encode())
