"""Copy tables and numbers into `reports/`, which is committed.

Of an experiment's page, which is large and made by one command, only the numbers are put there.
Beside the files of the result stand its manifest, which lists their hashes and all that they were
made from, and what no manifest can hold: `costs.csv`, how long the runs took, and where;
`codes.csv`, the commits that the codes of variants were; and `<variant>.diff`, what the code of a
variant changes, comments in the same lines included.

A key may have other bytes on another platform. What git holds of the same key is left as it is, if
a witness names it (`store.witnesses`).
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from variorum.base.atomic import write_atomically
from variorum.base.errors import VariorumError
from variorum.base.git import files_of
from variorum.identity.spec import Ref
from variorum.plan.ablation import CODES, DIFFS
from variorum.report import costs
from variorum.store.committed import has_git
from variorum.store.manifests import Manifest, read
from variorum.store.restoring import BUNDLE
from variorum.store.result import COPY, MANIFEST, VARYING, Result
from variorum.store.store import Store
from variorum.store.witnesses import Testimony, Witnesses

COSTS = "costs.csv"
CODES_FILE = "codes.csv"
NUMBERS, FINDINGS = "numbers.csv", "findings.md"
REPORTS = "reports"
REPORT_FILES = ("report.html", "metrics.json", "curves.csv")
TABLE_FILES = ("table.md", "table.csv", "table.html", "runs.csv", "intervals.svg")
"""Files of every table; some have more figures."""


def publication_folder(root: Path, folder: Path) -> Path:
    """Return the folder to publish in; raises `VariorumError` if it is elsewhere."""
    meant = (root / folder).resolve()
    if (root / REPORTS).resolve() not in meant.parents:
        raise VariorumError(
            f"{folder} is not below {REPORTS}/, where tables and numbers are committed; name a "
            f"folder there, such as {REPORTS}/{folder.name or 'mine'}"
        )
    return meant


def pages_of(result: Result) -> list[str]:
    """Return the files of a result that people look at."""
    return page_names(result.manifest["files"])


def page_names(names: Iterable[str]) -> list[str]:
    """Return what people look at, of the files of a result or of its copy."""
    return [n for n in names if not n.startswith(f"{BUNDLE}/") and n not in (*VARYING, COPY)]


def published_names(files: Iterable[str]) -> list[str]:
    """Return which files of a result are published: a page's, or a table's."""
    names = list(files)
    return [name for name in (NUMBERS, FINDINGS) if name in names] or page_names(names)


def publish(store: Store, ref: Ref, folder: Path, *, replace: bool = False) -> bool:
    """Copy a table, or a page's numbers, into a folder; files of another table go.

    Return whether it did. If git's last commit holds the same key there with other bytes, which a
    witness names or may name, these are written instead, except with `replace`.
    """
    result = store.open(ref)
    names = published_names(result.manifest["files"])
    contents = {name: result.file(name).read_bytes() for name in names} | notes_of(result.run)
    contents[MANIFEST] = (result.folder / MANIFEST).read_bytes()
    committed = {} if replace else committed_files(store.root, folder)
    is_other = committed.get(MANIFEST, contents[MANIFEST]) != contents[MANIFEST]
    keeps = is_other and _may_be_right(Witnesses(store), ref, committed, names)
    if keeps:
        contents = committed
    for name in _listed(folder) - contents.keys():
        (folder / name).unlink(missing_ok=True)
    for name in sorted(contents, key=lambda name: name == MANIFEST):
        write_atomically(folder / name, contents[name])
    return not keeps


def committed_files(root: Path, folder: Path) -> dict[str, bytes]:
    """Return the files that git's last commit holds in a folder, by name."""
    if not has_git(root):
        return {}
    with suppress(VariorumError, ValueError):  # no commit, no such folder in it, or outside
        place = folder.resolve().relative_to(root.resolve())
        return files_of(root, f"HEAD:{place.as_posix()}")
    return {}


def judge_published(
    witnesses: Witnesses, ref: Ref, contents: Mapping[str, bytes], files: Iterable[str]
) -> Testimony:
    """Judge published files: right ones are of `ref`, whole, with bytes that a witness names.

    contents: these files with their manifest. files: names in the result here, of which the same
    must be published.
    """
    manifest = _sound_manifest(ref, contents)
    if manifest is None or _published(manifest.files) != _published(files):
        return Testimony.REFUTED
    return witnesses.judge(ref, manifest, contents[MANIFEST])


def _may_be_right(
    witnesses: Witnesses, ref: Ref, contents: Mapping[str, bytes], files: Iterable[str]
) -> bool:
    return judge_published(witnesses, ref, contents, files) is not Testimony.REFUTED


def _sound_manifest(ref: Ref, contents: Mapping[str, bytes]) -> Manifest | None:
    """Return the published manifest if it is of `ref` and fits all files."""
    manifest = read(ref, MANIFEST, contents.get(MANIFEST, b""))
    if not isinstance(manifest, Manifest) or manifest.fault:
        return None
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    pages = published_names(manifest.files)
    is_whole = all(digests.get(name) == manifest.files[name].sha256 for name in pages)
    return manifest if is_whole else None


def _published(files: Iterable[str]) -> set[str]:
    return {name for name in published_names(files) if name != MANIFEST}


def contents_of(folder: Path) -> dict[str, bytes]:
    """Return the content of each file in a folder, by its name."""
    files = (path for path in folder.glob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in files}


def is_published(store: Store, ref: Ref, folder: Path) -> bool:
    """Check whether a table lies in a folder with all that stands beside it.

    It may be the same table made elsewhere, with other bytes.
    """
    result = store.open(ref)
    files = {name: result.folder / name for name in (*result.manifest["files"], MANIFEST)}
    return _is_table(store, ref, folder, files) and all(
        (folder / name).is_file() for name in notes_of(result.run)
    )


def _is_table(store: Store, ref: Ref, folder: Path, files: Mapping[str, Path]) -> bool:
    """Check whether a folder holds a table or other bytes of it."""
    if all(same(folder / name, files[name]) for name in page_names(files)):
        return True
    return _may_be_right(Witnesses(store), ref, contents_of(folder), files)


@dataclass(frozen=True)
class Page:
    """Name files at a fixed place: their result, their folder, and their names."""

    ref: Ref
    folder: Path
    names: tuple[str, ...]

    @property
    def files(self) -> list[Path]:
        """Return the paths of these files in the project."""
        return [self.folder / name for name in self.names]

    @property
    def target(self) -> str:
        """Return the file by which Snakemake is asked for all of them."""
        return (self.folder / self.names[0]).as_posix()

    def is_published(self, store: Store, copy: Mapping[str, Path] | None = None) -> bool:
        """Check whether the files equal the result's, or a copy's, given by its files."""
        place, is_table = store.root / self.folder, self.ref.stage == "table"
        if copy is not None:
            if is_table:
                return _is_table(store, self.ref, place, copy)
            return all(same(place / name, copy[name]) for name in self.names)
        if not store.exists(self.ref):
            return False
        if is_table:
            return is_published(store, self.ref, place)
        result = store.open(self.ref)
        return all(same(place / name, result.file(name)) for name in self.names)


def same(page: Path, original: Path) -> bool:
    """Check whether a page is there and equals what it was copied from."""
    return page.is_file() and page.read_bytes() == original.read_bytes()


def notes_of(run: Mapping[str, Any]) -> dict[str, bytes]:
    """Return what no manifest can hold, by the name of its file, from `run.json`."""
    texts = {COSTS: costs.csv_text(run.get("costs", ()))}
    texts |= {f"{name}.diff": text for name, text in run.get(DIFFS, {}).items()}
    if CODES in run:
        texts[CODES_FILE] = _codes_csv(run[CODES])
    return {name: text.encode() for name, text in texts.items()}


def _codes_csv(codes: Mapping[str, str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("variant", "code"), *codes.items()])
    return text.getvalue()


def _listed(folder: Path) -> set[str]:
    """Return the files of the table in a folder, by its manifest."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        settings = manifest["spec"]["settings"]
        names = {name for name in manifest["files"] if "/" not in name}
        names |= {f"{name}.diff" for name, edited in settings.get("edited", {}).items() if edited}
        return names | ({CODES_FILE} if settings.get("codes") else set())
    return set()
