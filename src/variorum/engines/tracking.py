"""Hands results to DVC, which stores, moves and pins their bytes.

Each result of the corpus and training sides gets a `.dvc` file of its own, so that files of
different branches merge without conflicts. Evaluations, stress tests and figures are small and
many; they travel inside the report or table that stands on them (`bundle/`), and are put back in
place from there. Adding is done once for all that is new: each call of DVC costs seconds.

What may differ between two makings of one result (`run.json`, `code.json`) is left out of its
`.dvc` file by `.dvcignore`, so that clones which made the same result pin the same hash. It travels
in records: one file for all results of a run, named by its content, so that no two clash.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from variorum.atomic import write_atomically
from variorum.engines.dvc_cache import DvcCache, md5_of, pinned_by
from variorum.plan import Node
from variorum.stages.stage_settings import MODELS
from variorum.store import CODE, KEY_LENGTH, MANIFEST, RUN, Ref, Store, StoreError, readable_json

OWN_FILE = ("download", "normalize", "tokenizer", "encode", *MODELS)
BUNDLING = ("report", "table")
BUNDLE = "bundle"
RECORDS = "results/records"


def track(root: Path) -> None:
    """`dvc add` every finished result that DVC has yet to store, and a record of how all came."""
    store = Store(root)
    if not (root / ".dvc").is_dir() or not (root / ".git").exists():
        if any(True for _ in store.refs()):
            _say("no git and DVC repository here: results stay untracked")
        return
    cache = DvcCache(root)
    new = [ref for ref in store.refs() if _is_new(store, ref, cache)]
    _record(store)
    paths = [*(store.folder(ref) for ref in new), *_new_records(root)]
    if not paths:
        return
    names = [path.relative_to(root).as_posix() for path in paths]
    _clear_what_was_cut([store.pin(ref) for ref in new], paths, cache)
    # Whatever links the cache is set to, what was made here stays a file of its own.
    done = _dvc(root, "add", "--no-relink", *names)
    if done.returncode:
        _say(
            f"DVC could not add {len(new)} results; they are complete all the same. "
            f"Run `variorum track` again. DVC said:\n{done.stderr.strip()}"
        )
    elif new:
        _say(f"DVC tracks {len(new)} new results")


def _clear_what_was_cut(pins: list[Path], paths: list[Path], cache: DvcCache) -> None:
    """Delete what a kill or a full disk left of DVC's files, over which it would stumble."""
    for md5 in filter(None, map(pinned_by, pins)):
        if cache.listing(md5) is None:
            cache.path(md5).unlink(missing_ok=True)
    for file in (path.with_name(f"{path.name}.dvc") for path in paths):
        if pinned_by(file) is None:
            file.unlink(missing_ok=True)


def track_what_was_left(store: Store) -> None:
    """`track`, if a run that was killed could not.

    Snakemake calls nothing at the end of a run that has nothing to do.
    """
    kept = (ref for stage in (*OWN_FILE, *BUNDLING) for ref in store.refs(stage))
    here = (store.root / ".dvc").is_dir() and (store.root / ".git").exists()
    if here and any(not store.pin(ref).is_file() for ref in kept):
        track(store.root)


def _say(text: str) -> None:
    print(f"variorum: {text}", file=sys.stderr)


def _is_new(store: Store, ref: Ref, cache: DvcCache) -> bool:
    """Whether DVC has yet to store these bytes.

    A `.dvc` file that came with git may pin a result that was made here as well; its hash is the
    same, and what lies here is stored all the same.
    """
    if ref.stage not in (*OWN_FILE, *BUNDLING):
        return False
    if _cached(store, ref, cache) is not None:
        return False
    try:
        store.open(ref)
    except StoreError as error:
        _say(f"{error}; until then it is not handed to DVC")
        return False
    return True


def _cached(store: Store, ref: Ref, cache: DvcCache) -> dict[str, Path] | None:
    """The files that a result's `.dvc` file pins, by name; None unless DVC's cache has them all."""
    md5 = pinned_by(store.pin(ref))
    listing = None if md5 is None else cache.listing(md5)
    if listing is None:
        return None
    files = {name: cache.path(md5) for name, md5 in listing.items()}
    return files if all(file.exists() for file in files.values()) else None


# Records: where and when results were made, and by which source


def _record(store: Store) -> None:
    """Write a record of every result that none tells of."""
    told = {name for _, results in _records(store.root) for name in results}
    facts: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for ref in store.refs():
        if str(ref) in told or not (store.folder(ref) / RUN).is_file():
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


def _new_records(root: Path) -> list[Path]:
    records = sorted((root / RECORDS).glob("*.json"))
    return [path for path in records if pinned_by(path.with_name(f"{path.name}.dvc")) is None]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _records(root: Path) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Sources by their hash, and facts by result, of every record that is here and whole."""
    for path in sorted((root / RECORDS).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            yield content["sources"], content["results"]
        except (ValueError, KeyError, TypeError):
            file = path.relative_to(root)
            _say(f"{file} is cut off; restore it with `dvc checkout --force {file}.dvc`")


def has_record(store: Store, ref: Ref) -> bool:
    """Whether `put_back` would have what it needs for a result."""
    return any(str(ref) in results for _, results in _records(store.root))


def put_back(store: Store) -> None:
    """Give results that came without them their `run.json` and `code.json`, out of the records."""
    without = {str(ref) for ref in store.refs() if not (store.folder(ref) / RUN).is_file()}
    if not without:
        return
    for sources, results in _records(store.root):
        for name in without & results.keys():
            folder = store.folder(Ref.parse(name))
            code = {symbol: sources[digest] for symbol, digest in results[name]["code"].items()}
            for file, content in ((CODE, code), (RUN, results[name]["run"])):
                write_atomically(folder / file, readable_json(content).encode())
            without.discard(name)


# Bundles: small results inside of the report or table that stands on them


def bundle(store: Store, refs: list[Ref], output: Path) -> None:
    """Copy whole results into the output of the report or table that stands on them."""
    for ref in refs:
        target = output / BUNDLE / str(ref)
        shutil.copytree(store.folder(ref), target, copy_function=shutil.copyfile)


def bundled(store: Store) -> dict[Ref, Path]:
    """Every result that lies in the bundle of a report or table, and where."""
    found = {}
    for stage in BUNDLING:
        for manifest in store.root.glob(f"results/{stage}/*/{BUNDLE}/*/*/{MANIFEST}"):
            found[Ref(*manifest.parts[-3:-1])] = manifest.parent
    return found


def holds(store: Store) -> Callable[[Ref], bool]:
    """Tells of a result whether this machine has it: in place, or where `bring_back` finds it."""
    in_bundles, cache = bundled(store), DvcCache(store.root)
    return lambda ref: (
        store.exists(ref) or ref in in_bundles or _cached(store, ref, cache) is not None
    )


def bring_back(store: Store, wanted: Iterable[Node]) -> None:
    """Put in place what `wanted` need and this machine holds: from bundles and DVC's cache.

    What stands below a result that is here, or comes back, is not needed for it. What travels in
    the bundles of the wanted ones themselves is always put in place.
    """
    wanted = list(wanted)
    in_bundles = bundled(store)
    seen: set[Ref] = set()
    taken: list[Ref] = []
    cache = DvcCache(store.root)

    def visit(node: Node) -> None:
        if node.ref in seen or store.exists(node.ref):
            return
        seen.add(node.ref)
        if node.ref in in_bundles and _restored(store, node.ref, in_bundles[node.ref]):
            return
        if (files := _cached(store, node.ref, cache)) and _taken(store, node.ref, files):
            taken.append(node.ref)
            return
        for needed in node.upstream.values():
            visit(needed)

    for node in wanted:
        visit(node)
    if taken:
        _say(f"took {len(taken)} of what was missing out of DVC's cache")
    for node in wanted:
        if node.ref.stage in BUNDLING and store.exists(node.ref):
            _unbundle(store, node.ref)
    put_back(store)


def _restored(store: Store, ref: Ref, folder: Path) -> bool:
    """Whether the copy in a bundle could be put in place."""
    files = (file for file in folder.rglob("*") if file.is_file())
    try:
        store.restore(ref, {file.relative_to(folder).as_posix(): file for file in files})
    except StoreError as error:
        _say(f"{folder.relative_to(store.root)}: {error}; it is left where it is")
        return False
    return True


def _taken(store: Store, ref: Ref, files: dict[str, Path]) -> bool:
    """Whether DVC's copy of a result could be put in place; what is damaged of it is deleted.

    DVC's own checkout writes into the place itself, where a kill would leave a part, and waits for
    no other DVC.
    """
    try:
        store.restore(ref, files)
    except StoreError:
        for file in files.values():
            if file.is_file() and md5_of(file) != file.parent.name + file.name:
                file.unlink()
        _say(f"{ref} is damaged in DVC's cache: it is made again")
        return False
    return True


def _dvc(root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def _unbundle(store: Store, ref: Ref) -> None:
    """Put the results that travelled inside `ref` back in place, where they are missing."""
    for manifest in sorted((store.folder(ref) / BUNDLE).glob(f"*/*/{MANIFEST}")):
        inner = Ref(*manifest.parts[-3:-1])
        if not store.exists(inner):
            _restored(store, inner, manifest.parent)
