"""Verify that results and inputs are what their manifests say.

Every file is hashed and compared with its manifest; the manifest with its key, its copy, and the
inputs that it notes, up to the sources. Files outside manifests are checked by their seal
(`run_info`), numbers on a report's page by their source (`page_trace`).

A missing upstream, a changed source or another platform is noted, and is no damage.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from variorum.audit.available import has_content
from variorum.audit.verify.mixtures import runs_of_both
from variorum.audit.verify.published import PublishedFiles
from variorum.audit.verify.selection import Selection, none_of, with_upstream
from variorum.base import machine
from variorum.base.counts import counted
from variorum.base.errors import VariorumError, several
from variorum.base.files import sha256_of
from variorum.base.platforms import platform_differences
from variorum.base.progress import Progress
from variorum.identity.spec import Ref, Spec
from variorum.plan.current_code import libraries_of
from variorum.plan.source_changes import source_change
from variorum.report import page_trace
from variorum.report.phrases import listed
from variorum.report.units import size
from variorum.store.dvc_cache import DvcCache
from variorum.store.manifests import DIGITS, NOT_LISTED, Manifest, ResultCopy, StoredFile
from variorum.store.records import has_record
from variorum.store.result import CODE, COPY, MANIFEST, RUN
from variorum.store.run_info import run_info
from variorum.store.store import Store
from variorum.store.tracking import holds_other_bytes
from variorum.store.witnesses import Witnesses


@dataclass(frozen=True, order=True)
class Damage:
    """Describe a damaged file or folder, and the remedy."""

    place: str
    fault: str
    remedy: str


@dataclass(frozen=True)
class Findings:
    """Hold what was checked and what was found.

    warnings: how this platform differs. pages: published files that were compared. traced: numbers
    and texts of pages that match their source. uncompared: what could not be. unwitnessed: whether
    other bytes than the ones here are among that.
    """

    results: int
    files: int
    n_bytes: int
    seconds: float
    damage: tuple[Damage, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    pages: int = 0
    traced: int = 0
    uncompared: tuple[str, ...] = ()
    unwitnessed: bool = False

    def lines(self) -> Iterator[str]:
        """Yield the findings for people, the summary last."""
        yield from (f"damaged: {each.place} {each.fault}" for each in self.damage)
        yield from (f"  {remedy}" for remedy in dict.fromkeys(each.remedy for each in self.damage))
        yield from (f"note: {note}" for note in self.notes)
        yield from (f"warning: {warning}" for warning in self.warnings)
        if self.traced:
            traced = counted(self.traced, "number or text", "numbers and texts")
            yield f"{traced} of pages match their sources"
        compared = [f"{counted(self.results, 'result')} of {counted(self.files, 'file')}"]
        if self.pages:
            compared.append(counted(self.pages, "published file"))
        yield (
            f"compared {listed(compared)}, {size(self.n_bytes)} in {self.seconds:.1f} s: "
            f"{self._state()}"
        )

    def _state(self) -> str:
        if self.damage:
            return f"{len(self.damage)} damaged"
        if self.uncompared:
            sound = "" if self.unwitnessed else "all as published, but "
            return f"{sound}not compared: {', '.join(self.uncompared)}"
        return "all as published"


def verify(selection: Selection, progress: Progress) -> Findings:
    """Check the selected results, all their inputs, and the pages.

    Raises `VariorumError` if none of the results is here.
    """
    begun = time.monotonic()
    audit = _Audit(selection, progress)
    if not audit.own:
        raise VariorumError(f"nothing to verify: {none_of(selection.refs)}")
    audit.check()
    audit.check_pages(selection)
    audit.trace_pages()
    files = [file for copy in audit.own.values() for file in copy.files.values()]
    return Findings(
        results=len(audit.own),
        files=len(files),
        n_bytes=sum(file.n_bytes for file in files),
        seconds=time.monotonic() - begun,
        damage=tuple(audit.damage.values()),
        notes=tuple(audit.notes()),
        warnings=tuple(audit.warnings()),
        pages=audit.published.compared,
        traced=audit.traced,
        uncompared=tuple(audit.uncompared()),
        unwitnessed=bool(audit.published.unwitnessed or audit.unjudged),
    )


class _Audit:
    """Check the available results and collect the findings.

    own: results in their folders. copies: also results that reports and tables carry.
    """

    def __init__(self, selection: Selection, progress: Progress) -> None:
        self.store = store = selection.store
        refs = with_upstream(store, selection.refs)
        self.own = _hashed(store, refs, progress)
        carried = [copy for own in self.own.values() for copy in own.inner()]
        self.copies = [*self.own.values(), *carried]
        self.by_ref = {copy.ref: copy for copy in reversed(self.copies)}
        self.vouched = {
            (entry.ref, entry.manifest_sha256)
            for copy in self.copies
            for manifest in copy.readable
            for entry in manifest.inputs.values()
        }
        self.absent: dict[Ref, None] = {ref: None for ref in refs if ref not in self.by_ref}
        self.damage: dict[str, Damage] = {}
        self.trusted: dict[Ref, Manifest] = {}
        self.adopted: dict[Ref, Mapping[str, Any]] = {}
        self.changed: list[str] = []
        self.mixed: dict[str, None] = {}
        self.unjudged: dict[str, Ref] = {}
        self.differing: list[Ref] = []
        self.used: dict[str, frozenset[str]] = {}
        self.cache = DvcCache(store.root)
        self.witnesses = Witnesses(store)
        self.published = self._files_of(selection)
        self.unsealed = self.traced = 0
        self.runs: list[tuple[Spec, Mapping[str, Any]]] = []

    def check(self) -> None:
        """Check every result, in its folder and where it is carried."""
        for copy in self.copies:
            manifest = self._trusted(copy)
            if manifest is None:
                continue
            self.trusted[copy.ref] = manifest
            for damage in self._faults(copy, manifest):
                self._found(damage)
            self._check_run_info(copy, manifest)
            if copy is self.own.get(copy.ref):
                if manifest.adopted is not None:
                    self.adopted[copy.ref] = manifest.adopted
                if change := source_change(self.store.root, manifest.spec):
                    self.changed.append(change)
                if holds_other_bytes(self.store, copy.ref, self.cache):
                    self.differing.append(copy.ref)

    def _found(self, damage: Damage) -> None:
        self.damage.setdefault(damage.place, damage)

    def _damage(self, copy: ResultCopy, name: str, fault: str, remedy: str = "") -> Damage:
        folder = copy.folder.relative_to(self.store.root)
        owner = Ref(*folder.parts[1:3])  # a carried result is fixed with the one that carries it
        return Damage((folder / name).as_posix(), fault, remedy or self.store.remedy(owner))

    # Manifests

    def _trusted(self, copy: ResultCopy) -> Manifest | None:
        """Return the manifest to compare files with; note faults of both manifests."""
        sound = [each for each in copy.readable if not each.fault]
        doubts = [self._doubts(copy, each) for each in sound]
        trusted = sound[doubts.index(min(doubts))] if sound else None
        if len({each.sha256 for each in sound}) > 1 and doubts[0] == doubts[1]:
            fault = f"and {COPY} differ, and nothing here shows which is right"
            self._found(self._damage(copy, MANIFEST, fault))
            return trusted
        for name, manifest in copy.manifests.items():
            fault = manifest if isinstance(manifest, str) else manifest.fault
            if trusted and isinstance(manifest, Manifest) and manifest.sha256 != trusted.sha256:
                fault = fault or f"is not the same as {trusted.name}"
            if fault:
                place = (copy.folder / name).relative_to(self.store.root).as_posix()
                remedy = f"copy {trusted.name} of the same folder to {place}" if trusted else ""
                self._found(self._damage(copy, name, fault, remedy))
        return trusted

    def _doubts(self, copy: ResultCopy, manifest: Manifest) -> tuple[int, bool]:
        """Return what speaks against a manifest: faults, and that no later result notes it."""
        is_noted = any((copy.ref, digest) in self.vouched for digest in manifest.noted_as)
        return len(list(self._faults(copy, manifest))), not is_noted

    def _faults(self, copy: ResultCopy, manifest: Manifest) -> Iterator[Damage]:
        """Yield where a manifest is wrong: its files and its inputs."""
        for name, fault in copy.faults(manifest):
            remedy = "move it out of the result" if fault == NOT_LISTED else ""
            yield self._damage(copy, name, fault, remedy)
        for entry in manifest.inputs.values():
            upstream = self.by_ref.get(entry.ref)
            if upstream is None:
                self.absent[entry.ref] = None
            elif (noted := upstream.noted(entry.manifest_sha256)) is None:
                if not self._is_mixture(copy, manifest, upstream, entry.manifest_sha256):
                    digest = entry.manifest_sha256[:DIGITS]
                    fault = f"is not the input of {copy.ref} (SHA-256 {digest}…)"
                    yield self._damage(upstream, MANIFEST, fault)
            elif noted.files != entry.files:
                fault = f"notes other files of {entry.ref} than its manifest lists"
                yield self._damage(copy, manifest.name, fault)
        adopted = manifest.adopted
        origin = self.by_ref.get(Ref.parse(adopted["from"])) if adopted else None
        if adopted and origin:
            noted = origin.noted(adopted["manifest_sha256"])
            if noted is None or noted.files != manifest.files:
                fault = f"is of other files than {origin.ref}, which it was adopted from"
                yield self._damage(copy, manifest.name, fault)

    def _is_mixture(
        self, copy: ResultCopy, manifest: Manifest, upstream: ResultCopy, digest: str
    ) -> bool:
        """Check whether an input is of other bytes with right; note it."""
        runs = runs_of_both(self.witnesses, copy, manifest, upstream, digest)
        if runs is None:
            return False
        line = f"{copy.ref} was made from other bytes of {upstream.ref}"
        if not all(runs):
            unknown = [f"{line}: no record here tells where", self.witnesses.coming()]
            self.unjudged["; ".join(filter(None, unknown))] = upstream.ref
            return True
        found = platform_differences(*runs, self._libraries(upstream.readable[0].spec))
        told = "; ".join(f"{name} {old}, here {new}" for name, (old, new) in found.items())
        self.mixed |= {f"{line}: {told}": None} if told else {}
        return bool(told)

    def _check_run_info(self, copy: ResultCopy, manifest: Manifest) -> None:
        spec, is_own = manifest.spec, copy is self.own.get(copy.ref)
        info = run_info(copy, manifest)
        if info.run is not None and is_own:
            self.runs.append((spec, info.run))
        self.unsealed += not info.is_sealed
        then = "no number needs them, and nothing here can restore them"
        if is_own and info.faults and has_record(self.store, copy.ref):
            then = "the next `snakemake` restores them from a record"
        for name, fault in info.faults.items():
            self._found(self._damage(copy, name, fault, f"delete {RUN} and {CODE}: {then}"))

    # Pages

    def _files_of(self, selection: Selection) -> PublishedFiles:
        return PublishedFiles(self.store, self.trusted, selection.current, self.witnesses)

    def check_pages(self, selection: Selection) -> None:
        """Compare published files with the results'."""
        self.published = self._files_of(selection)
        for page in selection.pages:
            self.published.check(page)
        for place, fault, remedy in self.published.damage:
            self._found(Damage(place, fault, remedy))

    def trace_pages(self) -> None:
        """Trace what reports' pages say to their files, if all files are sound.

        Old pages without marks are skipped, unless their report lists numbers; so is an adopted
        report, which names results of other keys.
        """
        for ref in self.own:
            if page_trace.PAGE not in self.own[ref].files or self.damage or ref in self.adopted:
                continue
            traces = page_trace.check(self.store, ref)
            if not (traces.followed or page_trace.lists_numbers(self.store.peek(ref))):
                continue
            self.traced += traces.followed - sum(bool(fault.source) for fault in traces.faults)
            if traces.faults:
                more = f", and {len(traces.faults) - 1} more" if len(traces.faults) > 1 else ""
                fault = f"says {traces.faults[0]}{more}"
                self._found(self._damage(self.own[ref], page_trace.PAGE, fault))

    # What is no damage

    def uncompared(self) -> Iterator[str]:
        """Yield what could not be compared, each with its number and why."""
        if self.absent:
            yield f"{counted(len(self.absent), 'result')} not here"
        if self.unjudged:
            yield f"{counted(len({*self.unjudged.values()}), 'input')} of unknown origin"
        yield from self.published.uncompared()

    def notes(self) -> Iterator[str]:
        """Yield what is worth knowing, in lines."""
        if self.absent:
            yield f"not here: {several(self.absent)}; `dvc pull -R results` fetches what DVC has"
        for ref, adopted in self.adopted.items():
            word = f", on a person's word: {adopted['because']}" if "because" in adopted else ""
            yield f"{ref} was adopted from {adopted.get('from')}, not made{word}"
        yield from (*self.changed, *self.mixed, *self.unjudged)
        yield from self.published.notes()
        if self.differing:
            yield (
                f"{several(self.differing)}: git holds other bytes of the same key; "
                "`variorum share` compares them"
            )
        if self.published.unpublished:
            pages = " ".join(self.published.unpublished)
            yield f"pages are not published; `snakemake --cores 4 {pages}` publishes them"
        if self.unsealed:
            results = counted(self.unsealed, "result")
            yield f"{RUN} of {results} has no seal: damage to it may go unnoticed"

    def warnings(self) -> Iterator[str]:
        """Yield how the results' platforms differ from this one, one line a fact."""
        here = machine.description()
        found = Counter(
            (name, *values)
            for spec, run in self.runs
            for name, values in platform_differences(run, here, self._libraries(spec)).items()
        )
        for (name, old, new), count in sorted(found.items()):
            yield (
                f"{name}: {new} here, {old} where {count} of "
                f"{counted(len(self.runs), 'result')} were made; "
                "made again here, their bits may differ"
            )

    def _libraries(self, spec: Spec) -> frozenset[str]:
        """Return the libraries that a stage's code uses; all if the stage is gone."""
        if spec.code not in self.used:
            self.used[spec.code] = libraries_of(spec)
        return self.used[spec.code]


def _hashed(store: Store, refs: Sequence[Ref], progress: Progress) -> dict[Ref, ResultCopy]:
    """Hash every file of the available results among these."""
    folders = {ref: store.folder(ref) for ref in refs if has_content(store.folder(ref))}
    paths = {
        ref: [path for path in sorted(folder.rglob("*")) if not path.is_dir()]
        for ref, folder in folders.items()
    }
    files = (path for own in paths.values() for path in own if path.is_file())
    found: dict[Ref, dict[str, StoredFile]] = {ref: {} for ref in folders}
    with progress.counting(sum(path.stat().st_size for path in files), "bytes"):
        for ref, path in ((ref, path) for ref, own in paths.items() for path in own):
            try:
                file = StoredFile(sha256_of(path), path.stat().st_size)
            except OSError as error:
                file = StoredFile("", 0, f"cannot be read: {error.strerror}")
            found[ref][path.relative_to(folders[ref]).as_posix()] = file
            progress.step(count=file.n_bytes)
    return {ref: ResultCopy(ref, folders[ref], files) for ref, files in found.items()}
