"""verify: whether results are what their manifests say, and stand on what those say.

Every file is hashed and held against its manifest, the manifest against its key and its copy, and
what it notes of its inputs against the results that are here, up to the sources. What no manifest
lists is checked otherwise: `run.json` holds a seal over itself and `code.json`, and the definitions
in that must have the fingerprint that the key stands on. What a report's page says is held against
the files that it names as the source of each number.

Damage is what was not so when a result was published. That an upstream is not here, that a source
has changed since, or that this is another platform is said, and is no damage.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from variorum import machine, runner, sources
from variorum.audit.checks import traced
from variorum.audit.checks.choice import Choice, holds_anything, with_upstream
from variorum.audit.checks.manifests import DIGITS, NOT_LISTED, Copy, File, Manifest
from variorum.audit.checks.platforms import platform_differences
from variorum.config.canonical import restored
from variorum.config.model_settings import ImportedSettings
from variorum.corpus.source import ChangingSource
from variorum.engines.tracking import has_record
from variorum.errors import VariorumError
from variorum.fingerprint import MEANINGS, kept_digest
from variorum.progress import Progress
from variorum.stages.stage_settings import DownloadStage, ImportedStage, Source
from variorum.store import (
    CODE,
    COPY,
    MANIFEST,
    RUN,
    SEAL,
    Ref,
    Spec,
    Store,
    StoreError,
    readable_json,
    sealed,
    sha256_of,
)

SHOWN = 5
"""How many names a line shows before it only counts."""


@dataclass(frozen=True, order=True)
class Damage:
    """A file or folder that is not as it was published, and what to do about it."""

    place: str
    fault: str
    remedy: str


@dataclass(frozen=True)
class Findings:
    """What was looked at and what was found.

    notes: what is worth knowing and no damage. warnings: how this platform differs. traced: numbers
    and texts of reports' pages that stand where the pages say.
    """

    results: int
    files: int
    n_bytes: int
    seconds: float
    damage: tuple[Damage, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    traced: int = 0

    def lines(self) -> Iterator[str]:
        """Everything for people, the summary last."""
        yield from (f"damaged: {each.place} {each.fault}" for each in self.damage)
        yield from (f"  {remedy}" for remedy in dict.fromkeys(each.remedy for each in self.damage))
        yield from (f"note: {note}" for note in self.notes)
        yield from (f"warning: {warning}" for warning in self.warnings)
        if self.traced:
            yield f"{self.traced:,} numbers and texts of pages stand where the pages say"
        state = f"{len(self.damage)} damaged" if self.damage else "all as published"
        yield (
            f"{self.results:,} results, {self.files:,} files, {self.n_bytes / 1e6:,.1f} MB "
            f"in {self.seconds:.1f} s: {state}"
        )


# Looking


def verify(choice: Choice, progress: Progress) -> Findings:
    """Check the chosen results with everything that they stand on, and the pages.

    Raises `VariorumError` if none of the results is here.
    """
    begun = time.monotonic()
    audit = _Audit(choice.store, with_upstream(choice.store, choice.refs), progress)
    if not audit.own:
        raise VariorumError(f"nothing to verify: {none_of(choice.refs)}")
    audit.check()
    audit.check_pages(choice.pages)
    audit.follow_pages()
    files = [file for copy in audit.own.values() for file in copy.files.values()]
    return Findings(
        results=len(audit.own),
        files=len(files),
        n_bytes=sum(file.n_bytes for file in files),
        seconds=time.monotonic() - begun,
        damage=tuple(audit.damage.values()),
        notes=tuple(audit.notes()),
        warnings=tuple(audit.warnings()),
        traced=audit.traced,
    )


class _Audit:
    """Everything that is here of the results in question, and what is found about it."""

    def __init__(self, store: Store, refs: Sequence[Ref], progress: Progress) -> None:
        self.store = store
        self.damage: dict[str, Damage] = {}
        here = {ref: store.folder(ref) for ref in refs if holds_anything(store.folder(ref))}
        hashed = _hashed(list(here.values()), progress)
        self.own = {ref: Copy(ref, folder, hashed[folder]) for ref, folder in here.items()}
        self.carried = [copy for own in self.own.values() for copy in own.inner()]
        self.held = {copy.ref: copy for copy in [*self.carried, *self.own.values()]}
        self.manifests = {
            copy.folder: [copy.manifest(name) for name in (MANIFEST, COPY)]
            for copy in [*self.carried, *self.own.values()]
        }
        self.vouched = {
            (entry.ref, entry.manifest_sha256)
            for found in self.manifests.values()
            for manifest in found
            if isinstance(manifest, Manifest)
            for entry in manifest.inputs.values()
        }
        self.absent: dict[Ref, None] = {ref: None for ref in refs if ref not in self.held}
        self.trusted: dict[Ref, Manifest] = {}
        self.adopted: dict[Ref, Mapping[str, Any]] = {}
        self.changed: list[str] = []
        self.out_of_place: list[str] = []
        self.unsealed = 0
        self.traced = 0
        self.runs: list[tuple[Spec, Mapping[str, Any]]] = []

    def check(self) -> None:
        """Look at every result, in its own place and where it is carried."""
        for copy in [*self.own.values(), *self.carried]:
            manifest = self._trusted(copy)
            if manifest is None:
                continue
            self.trusted[copy.ref] = manifest
            for damage in self._faults(copy, manifest):
                self._found(damage)
            self._check_varying(copy, manifest)
            if copy.folder == self.store.folder(copy.ref):
                if manifest.adopted is not None:
                    self.adopted[copy.ref] = manifest.adopted
                if copy.ref.stage in ("download", "imported"):
                    self._check_source(copy.ref, manifest.spec)

    def _found(self, damage: Damage) -> None:
        self.damage.setdefault(damage.place, damage)

    def _damage(self, copy: Copy, name: str, fault: str, remedy: str = "") -> Damage:
        folder = copy.folder.relative_to(self.store.root)
        owner = Ref(*folder.parts[1:3])  # a carried result is mended with the one that carries it
        return Damage((folder / name).as_posix(), fault, remedy or self.store.remedy(owner))

    # Manifests and what they say

    def _trusted(self, copy: Copy) -> Manifest | None:
        """The manifest to hold the files against; what is wrong with it or its copy is noted."""
        found = dict(zip((MANIFEST, COPY), self.manifests[copy.folder], strict=True))
        readable = [each for each in found.values() if isinstance(each, Manifest)]
        best = readable[0] if readable else None
        if len({each.sha256 for each in readable}) > 1:
            doubts = [self._doubts(copy, each) for each in readable]
            if doubts[0] == doubts[1]:
                fault = f"and {COPY} are not the same, and nothing here tells which is right"
                self._found(self._damage(copy, MANIFEST, fault))
                return None if readable[0].fault else readable[0]
            best = readable[doubts.index(min(doubts))]
        sound = best if best is not None and not best.fault else None
        for name, manifest in found.items():
            fault = ""
            if not isinstance(manifest, Manifest):
                fault = manifest or "is missing"
            elif manifest.fault:
                fault = manifest.fault
            elif sound is not None and manifest.sha256 != sound.sha256:
                fault = f"is not the same as {sound.name}"
            if fault:
                place = (copy.folder / name).relative_to(self.store.root).as_posix()
                remedy = f"copy {sound.name} of the same folder to {place}" if sound else ""
                self._found(self._damage(copy, name, fault, remedy))
        return sound

    def _doubts(self, copy: Copy, manifest: Manifest) -> tuple[bool, int, bool]:
        """What speaks against a manifest, when the two are not the same."""
        return (
            bool(manifest.fault),
            len(list(self._faults(copy, manifest))),
            not any((copy.ref, digest) in self.vouched for digest in manifest.noted_as),
        )

    def _faults(self, copy: Copy, manifest: Manifest) -> Iterator[Damage]:
        """What a manifest says and is not so: of its own files, and of what it was made from."""
        for name, fault in copy.faults(manifest):
            remedy = "move it out of the result" if fault == NOT_LISTED else ""
            yield self._damage(copy, name, fault, remedy)
        for entry in manifest.inputs.values():
            upstream = self.held.get(entry.ref)
            if upstream is None:
                self.absent[entry.ref] = None
                continue
            readable = [m for m in self.manifests[upstream.folder] if isinstance(m, Manifest)]
            noted = [m for m in readable if entry.manifest_sha256 in m.noted_as]
            if not noted:
                fault = (
                    f"is not the one that {copy.ref} was made from (SHA-256 "
                    f"{entry.manifest_sha256[:DIGITS]}…)"
                )
                yield self._damage(upstream, MANIFEST, fault)
            elif noted[0].files != entry.files:
                fault = f"notes other files of {entry.ref} than that has"
                yield self._damage(copy, manifest.name, fault)
        if manifest.adopted is not None and not self._is_of_origin(manifest, manifest.adopted):
            fault = f"is of other files than {manifest.adopted['from']}, which it was adopted from"
            yield self._damage(copy, manifest.name, fault)

    def _is_of_origin(self, manifest: Manifest, adopted: Mapping[str, Any]) -> bool:
        """Whether an adopted result has the files of the older one, as far as that is here."""
        origin = self.held.get(Ref.parse(adopted["from"]))
        if origin is None:
            return True
        readable = [m for m in self.manifests[origin.folder] if isinstance(m, Manifest)]
        noted = [m for m in readable if adopted["manifest_sha256"] in m.noted_as]
        return bool(noted) and noted[0].files == manifest.files

    # What no manifest lists

    def _check_varying(self, copy: Copy, manifest: Manifest) -> None:
        run, code = (self._varying(copy, name) for name in (RUN, CODE))
        sound = run is not None and self._has_whole_seal(copy, run)
        if run is not None and sound and copy.folder == self.store.folder(copy.ref):
            self.runs.append((manifest.spec, run))
        if code is not None and _fingerprint_of((copy.folder / CODE).read_bytes()) not in (
            None,
            manifest.spec.code,
        ):
            self._spoilt(copy, CODE, "holds other code than its key stands on")

    def _spoilt(self, copy: Copy, name: str, fault: str) -> None:
        in_place = copy.folder == self.store.folder(copy.ref)
        if in_place and has_record(self.store, copy.ref):
            then = "a record of them is put back by the next `snakemake`"
        else:
            then = "no number needs them, and nothing here brings back what they said"
        self._found(self._damage(copy, name, fault, f"delete {RUN} and {CODE}: {then}"))

    def _varying(self, copy: Copy, name: str) -> Mapping[str, Any] | None:
        if name not in copy.files:
            return None
        if copy.files[name].fault:
            self._spoilt(copy, name, copy.files[name].fault)
            return None
        content = (copy.folder / name).read_bytes()
        try:
            data = json.loads(content)
            if isinstance(data, dict) and readable_json(data).encode() == content:
                return data
            fault = "is not written as results write it"
        except ValueError:
            fault = "is cut off or not JSON"
        self._spoilt(copy, name, fault)
        return None

    def _has_whole_seal(self, copy: Copy, run: Mapping[str, Any]) -> bool:
        """Whether `run.json` is what its seal says; what is wrong with `code.json` is noted too."""
        seal = run.get(SEAL)
        if seal is None and not any(isinstance(v, dict) and RUN in v for v in run.values()):
            self.unsealed += 1  # made before results had one
            return True
        if not isinstance(seal, dict) or run != sealed(run, seal.get(CODE, "")):
            self._spoilt(copy, RUN, "is not what its seal says")
            return False
        if CODE not in copy.files:
            self._spoilt(copy, CODE, "is missing")
        elif copy.files[CODE].sha256 != seal[CODE]:
            self._spoilt(copy, CODE, f"is not what the seal in {RUN} says")
        return True

    # Sources, pages, platforms

    def _check_source(self, ref: Ref, spec: Spec) -> None:
        try:
            source = _source_of(ref, spec)
            found = _sha256_now(source, self.store.root)
        except ValidationError:
            return
        except VariorumError as error:
            self.changed.append(f"the source of {ref} is not here any more: {error}")
            return
        expected = getattr(source, "sha256", None)
        if found is not None and found != expected:
            self.changed.append(
                f"the source of {ref} has changed since (SHA-256 {found[:DIGITS]}…, it was "
                f"{str(expected)[:DIGITS]}…): a new run would use the new bytes and get "
                "another key"
            )

    def check_pages(self, pages: Iterable[tuple[str, Ref]]) -> None:
        """Hold pages against the files that they are copies of, where those are here."""
        for page, ref in pages:
            name, path = Path(page).name, self.store.root / page
            expected = self._expected(ref, name)
            if expected is None:
                continue
            again = f"`snakemake --cores 4 {page}` puts it in place"
            if not path.is_file():
                self.out_of_place.append(page)
            elif (found := sha256_of(path)) != expected:
                if other := self._page_of(found, ref, name):
                    self.changed.append(f"{page} is that of {other}, not of {ref}; {again}")
                else:
                    self._found(Damage(page, f"is not {name} of {ref}", again))

    def follow_pages(self) -> None:
        """Hold what reports' pages say against the files that they name, if all files are sound.

        Pages that name none are of before they did, unless the report lists its numbers; an adopted
        report names results of other keys.
        """
        for ref in self.own:
            if ref.stage != "report" or self.damage or ref in self.adopted:
                continue
            traces = traced.check(self.store, ref)
            if not (traces.followed or traced.lists_numbers(self.store.glance(ref))):
                continue
            self.traced += traces.followed - sum(bool(fault.source) for fault in traces.faults)
            for fault in traces.faults[:1]:
                place = (self.store.folder(ref) / traced.PAGE).relative_to(self.store.root)
                others = f", and {len(traces.faults) - 1} more" if len(traces.faults) > 1 else ""
                self._found(
                    Damage(place.as_posix(), f"says {fault}{others}", self.store.remedy(ref))
                )

    def _expected(self, ref: Ref, name: str) -> str | None:
        """The hash of a result's file by its manifest; None if that is not here."""
        if ref in self.trusted:
            file = self.trusted[ref].files.get(name)
            return file.sha256 if file else None
        with suppress(StoreError, KeyError):  # a table, when the experiment is looked at
            return str(self.store.glance(ref).manifest["files"][name]["sha256"])
        return None

    def _page_of(self, found: str, ref: Ref, name: str) -> Ref | None:
        """Another result that a page is of."""
        for other in self.store.refs(ref.stage):
            path = self.store.folder(other) / name
            if other != ref and path.is_file() and sha256_of(path) == found:
                return other
        return None

    def notes(self) -> Iterator[str]:
        """What is worth knowing, in lines."""
        if self.absent:
            yield f"not here: {some(self.absent)}; `dvc pull` fetches what DVC has"
        for ref, adopted in self.adopted.items():
            word = f", on a person's word: {adopted['because']}" if "because" in adopted else ""
            yield f"{ref} was adopted from {adopted.get('from')}, not made{word}"
        yield from self.changed
        if self.out_of_place:
            pages = " ".join(dict.fromkeys(map(_target, self.out_of_place)))
            yield f"pages are not in place; `snakemake --cores 4 {pages}` puts them there"
        if self.unsealed:
            yield f"{RUN} of {self.unsealed} results has no seal: damage to it could go unseen"

    def warnings(self) -> Iterator[str]:
        """How the platforms that the results were made on differ from this one, a line a fact."""
        here = machine.description()
        specs = {spec.code: spec for spec, _ in self.runs}
        used = {code: _libraries(spec) for code, spec in specs.items()}
        found = Counter(
            (name, *values)
            for spec, run in self.runs
            for name, values in platform_differences(run, here, used[spec.code]).items()
        )
        for (name, old, new), count in sorted(found.items()):
            yield (
                f"{name}: {new} here, {old} where {count} of {len(self.runs)} results were made; "
                "made again here, their bits may differ"
            )


def _libraries(spec: Spec) -> frozenset[str]:
    """The libraries that would make a result again; all if its stage takes it no more."""
    code = runner.current_code(spec)
    return code.libraries if code else frozenset(machine.LIBRARIES)


def _hashed(folders: Sequence[Path], progress: Progress) -> dict[Path, dict[str, File]]:
    """Every file below some folders, hashed."""
    paths = [(folder, path) for folder in folders for path in sorted(folder.rglob("*"))]
    paths = [(folder, path) for folder, path in paths if not path.is_dir()]
    total = sum(path.stat().st_size for _, path in paths if path.is_file())
    found: dict[Path, dict[str, File]] = {folder: {} for folder in folders}
    with progress.counting(total, "bytes"):
        for folder, path in paths:
            file = _file(path)
            found[folder][path.relative_to(folder).as_posix()] = file
            progress.step(count=file.n_bytes)
    return found


def _file(path: Path) -> File:
    try:
        return File(sha256_of(path), path.stat().st_size)
    except OSError as error:
        return File("", 0, f"cannot be read: {error.strerror}")


def some(names: Iterable[object]) -> str:
    """A list of names for a line, which only counts those after the first few."""
    texts = [str(name) for name in names]
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return ", ".join([*texts[:SHOWN], *more])


def none_of(refs: Sequence[Ref]) -> str:
    """That none of these is here, and how to get it."""
    if len(refs) == 1:
        target = f"results/{refs[0]}/{MANIFEST}"
        return (
            f"{refs[0]} is not here; make it with `snakemake --cores 4 {target}`, or fetch it with "
            "`dvc pull`"
        )
    found = f"none of {some(refs)} is here" if refs else "no result is here"
    return f"{found}; make results with `snakemake --cores 4`, or fetch them with `dvc pull`"


@cache
def _fingerprint_of(code: bytes) -> str | None:
    """The fingerprint of a `code.json`; None for older ones, which keep too little to tell."""
    sources = json.loads(code)
    if not any(symbol.endswith(MEANINGS) for symbol in sources):
        return None
    try:
        return kept_digest(sources)
    except (SyntaxError, ValueError, TypeError, AttributeError):
        return ""


def _source_of(ref: Ref, spec: Spec) -> Source | ImportedSettings:
    """What a result without upstreams was made from."""
    if ref.stage == "imported":
        return restored(ImportedStage, dict(spec.settings)).imported
    return restored(DownloadStage, dict(spec.settings)).source


def _sha256_now(source: Source | ImportedSettings, root: Path) -> str | None:
    """The SHA-256 of what a source holds here now; None if nothing here tells.

    Raises `VariorumError` if its files or its package are not here.
    """
    if isinstance(source, ImportedSettings):
        return sources.digest_of_import(source.path, root)
    if isinstance(source, ChangingSource):
        entry = sources.entries(root).get(source.lock_name)
        if entry is not None:
            return entry.sha256
    return source.sha256_here(root)


def _target(page: str) -> str:
    """What Snakemake is asked for, to put a page in place; of a table, whose files vary, one."""
    path = Path(page)
    return str(path.with_name("table.md")) if path.parts[0] == "reports" else page
