"""Check the files that people read: pages and tables where they were published.

Each must equal the file of its result, or of the same result with other bytes that a witness names
(`store.witnesses`). Where the result is not here, the manifest beside it says what it should be,
and witnesses say whether that is right. What no manifest can hold, such as how long runs took, must
be what `run.json` or a record of the same result says.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from variorum.base.counts import counted
from variorum.base.errors import several
from variorum.base.files import sha256_of
from variorum.identity.spec import Ref
from variorum.plan.ablation_loading import ablation_names
from variorum.plan.experiment import REPORT
from variorum.run.publish import (
    REPORTS,
    Page,
    committed_files,
    contents_of,
    judge_published,
    notes_of,
    published_names,
)
from variorum.stages.registry import STAGES
from variorum.store.committed import has_git
from variorum.store.manifests import Manifest, read
from variorum.store.result import MANIFEST, StoreError
from variorum.store.store import Store
from variorum.store.witnesses import Testimony, Witnesses, fetching

UNKNOWN = Ref("report", "unknown")
"""In place of the result of a manifest that cannot be read."""


@dataclass(frozen=True)
class Publication:
    """Hold a folder below `reports/`: its manifest, and the results that it may be of.

    A manifest that was changed may say one result by its key and another by its spec.
    """

    folder: Path
    manifest: Manifest | None
    refs: frozenset[Ref] = frozenset()

    @property
    def page(self) -> Page:
        """Return the files that were published here."""
        if self.manifest is None:
            return Page(UNKNOWN, self.folder, (MANIFEST,))
        names = published_names(self.manifest.files)
        return Page(self.manifest.spec.ref, self.folder, tuple(names))


def publications(root: Path) -> Iterator[Publication]:
    """Yield what lies below `reports/`."""
    for path in sorted((root / REPORTS).glob(f"**/{MANIFEST}")):
        yield publication(root, path.parent.relative_to(root))


def publication(root: Path, folder: Path) -> Publication:
    """Return what a folder holds by its manifest."""
    try:
        content = (root / folder / MANIFEST).read_bytes()
        data = json.loads(content)
        said = Ref(str(data["spec"]["stage"]), str(data["key"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Publication(folder, None)
    manifest = read(said, MANIFEST, content)
    if not isinstance(manifest, Manifest):
        return Publication(folder, None, frozenset({said}))
    return Publication(folder, manifest, frozenset({said, manifest.spec.ref}))


@dataclass
class PublishedFiles:
    """Compare published files with their results, and collect what was found.

    damage: place, fault and remedy of each. changed: a line on each file from another result, or
    input with other bytes. unpublished: missing ones, by their target. elsewhere: a line on each
    folder of other bytes that a witness names. unwitnessed: a line on each folder of other bytes
    whose witness is not here. unproven: a line on each folder whose result is not here. compared:
    how many files were. unknown: files that no manifest here lists. unbacked: folders whose result
    is not here, so that the manifest beside the files speaks for them.
    """

    store: Store
    trusted: dict[Ref, Manifest]
    current: frozenset[Ref]
    witnesses: Witnesses
    damage: list[tuple[str, str, str]] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unpublished: dict[str, None] = field(default_factory=dict)
    elsewhere: dict[str, None] = field(default_factory=dict)
    unwitnessed: dict[str, None] = field(default_factory=dict)
    unproven: dict[str, None] = field(default_factory=dict)
    compared: int = 0
    unknown: dict[Path, None] = field(default_factory=dict)
    unbacked: dict[Path, None] = field(default_factory=dict)

    def check(self, page: Page) -> None:
        """Check the files of one page or table, and what stands beside them.

        A table whose present result is not here is judged as what its manifest says it is.
        """
        manifest = publication(self.store.root, page.folder).manifest
        if manifest and manifest.spec.ref != page.ref and self._manifest_of(page.ref) is None:
            self.changed.append(f"{page.folder} is from {manifest.spec.ref}, not from {page.ref}")
            page = replace(page, ref=manifest.spec.ref)
        verdict = self._judge(page)
        if verdict is Testimony.NAMED:
            line = f"{page.folder} holds {page.ref} as another platform made it"
            self.elsewhere[line] = None
            self.compared += sum(name != MANIFEST for name in page.names)
        elif verdict is Testimony.OPEN:
            line = (
                f"{page.folder} holds other bytes of {page.ref} and cannot be compared: who made "
                f"them is not known here; {fetching(self.store, page.ref)} brings what git names"
            )
            self.unwitnessed[line] = None
        else:
            for name in page.names:
                if name != MANIFEST:
                    self._check_file(page, name, manifest)
            if (self.store.root / page.folder / MANIFEST).is_file():
                self._check_manifest(page, manifest)
        if page.folder.parts[0] == REPORTS:
            self._check_notes(page)
        if self._manifest_of(page.ref) is None and page.ref != UNKNOWN:
            self._tell_unproven(page, manifest)
            if manifest is not None:
                self._tell_other_inputs(page, manifest)

    def uncompared(self) -> Iterator[str]:
        """Yield what could not be compared, each with its number and why."""
        if self.unpublished:
            yield f"{counted(len(self.unpublished), 'page')} not published"
        if self.unknown:
            yield f"{counted(len(self.unknown), 'published file')} of no result here"
        if self.unbacked:
            pages = counted(len(self.unbacked), "page")
            yield f"{pages} of no result here, but with the manifest beside it"
        if self.unwitnessed:
            yield f"{counted(len(self.unwitnessed), 'page')} whose witness is not here"

    def notes(self) -> Iterator[str]:
        """Yield what is worth knowing and no damage, in lines."""
        yield from (*self.changed, *self.elsewhere, *self.unproven, *self.unwitnessed)

    def _judge(self, page: Page) -> Testimony | None:
        """Judge other bytes of a result.

        None if a page has the bytes that are here, or the result is not here.
        """
        own, place = self._manifest_of(page.ref), self.store.root / page.folder
        if own is None or page.folder.parts[0] != REPORTS or self._is_own(own, place / MANIFEST):
            return None
        return judge_published(self.witnesses, page.ref, contents_of(place), own.files)

    @staticmethod
    def _is_own(own: Manifest, file: Path) -> bool:
        return file.is_file() and sha256_of(file) == own.sha256

    def _check_file(self, page: Page, name: str, manifest: Manifest | None) -> None:
        path = self.store.root / page.folder / name
        expected = self._expected(page.ref, name)
        noted = manifest.files.get(name) if manifest else None
        if expected is None and noted is None:
            if path.is_file():
                self.unknown[page.folder / name] = None
            return
        if not path.is_file():
            self.unpublished[page.target] = None
            return
        self.compared += 1
        if expected is None:
            self.unbacked[page.folder] = None
        found = sha256_of(path)
        if found == (expected or (noted and noted.sha256)):
            return
        other = self._page_of(found, page.ref, name)
        if other is None and manifest and noted and noted.sha256 == found:
            other = manifest.spec.ref
        if other is not None and other != page.ref:
            self._from_other(page, name, other)
        else:
            self._damaged(page, name, f"is not {name} of {page.ref}")

    def _from_other(self, page: Page, name: str, other: Ref) -> None:
        again = f"; {self._again(page)}" if page.ref in self.current else ""
        self.changed.append(f"{page.folder / name} is from {other}, not from {page.ref}{again}")

    def _check_manifest(self, page: Page, manifest: Manifest | None) -> None:
        """Check the manifest beside published files."""
        fault = manifest.fault if manifest else "is cut off or not a manifest"
        own = self._manifest_of(manifest.spec.ref) if manifest else None
        if manifest and not fault and own and own.sha256 != manifest.sha256:
            if own.noted_as & manifest.noted_as:
                fault = "is of the same result, adopted in another way"
            else:
                fault = f"is not {MANIFEST} of {manifest.spec.ref}"
        if manifest and not fault and own is None:
            fault = self._doubt(page, manifest)
        if fault:
            self._damaged(page, MANIFEST, fault)

    def _doubt(self, page: Page, manifest: Manifest) -> str:
        """Return what speaks against a manifest whose result is not here."""
        ref = manifest.spec.ref
        stage = STAGES.get(ref.stage)
        expected = set(published_names(stage.products)) if stage else set()
        if lacking := sorted(expected - manifest.files.keys()):
            return f"lists no {' and no '.join(lacking)}"
        content = (self.store.root / page.folder / MANIFEST).read_bytes()
        verdict = self.witnesses.judge(ref, manifest, content)
        if verdict is Testimony.REFUTED and self.witnesses.has_any(ref):
            return f"is of no run of {ref} that is known here"
        return ""

    def _manifest_of(self, ref: Ref) -> Manifest | None:
        """Return the manifest of a result; None if it is unreadable."""
        if ref in self.trusted:
            return self.trusted[ref]
        with suppress(OSError):
            found = read(ref, MANIFEST, (self.store.folder(ref) / MANIFEST).read_bytes())
            return found if isinstance(found, Manifest) else None
        return None

    def _check_notes(self, page: Page) -> None:
        """Check what no manifest can hold, with every run of this result that is known."""
        known = self.witnesses.runs_of(page.ref)
        with suppress(StoreError):  # a damaged result is named for itself
            known.append(self.store.peek(page.ref).run)
        allowed = [notes_of(run) for run in known if run]
        names = dict.fromkeys(name for notes in allowed for name in notes)
        for name in names:
            path = self.store.root / page.folder / name
            if not path.is_file() or path.read_bytes() in [notes.get(name) for notes in allowed]:
                continue
            unknown = f"{page.folder / name} is of no run of {page.ref} that is known here"
            if self.witnesses.may_come:
                self.changed.append(f"{unknown}; {self.witnesses.coming()}")
            elif self._committed(page.folder).get(name) == path.read_bytes():
                self.changed.append(f"{unknown}, and as git's last commit holds it")
            else:
                self._damaged(page, name, f"is of no run of {page.ref}")

    def _committed(self, folder: Path) -> dict[str, bytes]:
        return committed_files(self.store.root, self.store.root / folder)

    def _is_proven(self, page: Page, manifest: Manifest | None) -> bool:
        """Check whether a witness names the manifest beside a page."""
        if manifest is None:
            return False
        content = (self.store.root / page.folder / MANIFEST).read_bytes()
        return self.witnesses.judge(page.ref, manifest, content) is Testimony.NAMED

    def _tell_unproven(self, page: Page, manifest: Manifest | None) -> None:
        """Say which changes of these files nothing would show without their result."""
        folder, listed = self.store.root / page.folder, set(manifest.files if manifest else ())
        known = {name for run in self.witnesses.runs_of(page.ref) for name in notes_of(run)}
        names = {*page.names}
        if page.folder.parts[0] == REPORTS:
            names |= {path.name for path in folder.iterdir()}
        there = {name for name in names - {MANIFEST} - known if (folder / name).is_file()}
        said = []
        if beside := [] if self._is_proven(page, manifest) else sorted(there & listed):
            said.append(f"{MANIFEST} beside them alone says what {several(beside)} should be")
        if rest := sorted(there - listed):
            said.append(f"nothing says what {several(rest)} should be")
        if said:
            pin = self.store.pin(page.ref)
            shown = pin.relative_to(self.store.root).as_posix()
            fetch = f"; `dvc pull {shown}` fetches it" if pin.is_file() else ""
            self.unproven[f"{page.folder}: without {page.ref} {', and '.join(said)}{fetch}"] = None

    def _tell_other_inputs(self, page: Page, manifest: Manifest) -> None:
        """Say which inputs are here with other bytes than a manifest without its result notes."""
        for entry in manifest.inputs.values():
            own = self._manifest_of(entry.ref)
            if own and entry.manifest_sha256 not in own.noted_as:
                self.changed.append(
                    f"{page.folder / MANIFEST} notes other bytes of {entry.ref} than are here"
                )

    def _damaged(self, page: Page, name: str, fault: str) -> None:
        self.damage.append((str(page.folder / name), fault, self._again(page)))

    def _expected(self, ref: Ref, name: str) -> str | None:
        """Return a file's hash from its manifest; None if that is missing."""
        manifest = self._manifest_of(ref)
        found = manifest.files.get(name) if manifest else None
        return found.sha256 if found else None

    def _page_of(self, found: str, ref: Ref, name: str) -> Ref | None:
        """Return another result that a page comes from."""
        others = (other for other in self.store.refs(ref.stage) if other != ref)
        return next((other for other in others if self._expected(other, name) == found), None)

    def _again(self, page: Page) -> str:
        """Return the command that publishes a page: Snakemake's rules make some of them."""
        tables = [Path(REPORTS, name) for name in ablation_names(self.store.root)]
        if page.ref in self.current and page.folder in (Path(REPORT).parent, *tables):
            return f"`snakemake --cores 4 {page.target}` publishes it"
        if self._manifest_of(page.ref) is None:
            return self._without_result(page)
        return f"`variorum publish {page.ref} {page.folder}` publishes it"

    def _without_result(self, page: Page) -> str:
        """Return how a page comes back whose result is not here."""
        root, folder = self.store.root, page.folder
        pin = self.store.pin(page.ref)
        if pin.is_file():
            pull = f"dvc pull {pin.relative_to(root).as_posix()}"
            return f"`{pull} && variorum publish {page.ref} {folder}` publishes it"
        if not has_git(root):
            return "take it from a clone that holds it whole"
        if self._committed(folder) not in ({}, contents_of(root / folder)):
            return f"`git restore --source HEAD -- {folder}` restores what the last commit holds"
        return f"an older commit may hold it whole: `git log -- {folder}`"
