"""Compare results with others of the same key that git holds."""

from collections.abc import Iterator

from variorum.audit.scratch import COMPARISONS
from variorum.audit.verify.file_diff import compare
from variorum.audit.verify.tolerances import judged
from variorum.base.counts import counted
from variorum.base.errors import several
from variorum.base.platforms import platform_differences
from variorum.base.progress import Progress
from variorum.identity.spec import Ref
from variorum.plan.current_code import libraries_of
from variorum.report.phrases import listed
from variorum.store.dvc_cache import DvcCache
from variorum.store.records import RECORDS
from variorum.store.restoring import pinned_files
from variorum.store.result import RUN, Result, StoreError, manifest_digest, readable_json
from variorum.store.sharing import Shared
from variorum.store.store import Store
from variorum.store.witnesses import Witnesses, fetching


def lines(store: Store, shared: Shared, progress: Progress) -> Iterator[str]:
    """Yield what was shared and what was not, for people."""
    if not shared.new and shared.present:
        yield f"nothing new: git holds the {counted(len(shared.present), 'result')} here"
    elif not (shared.new or shared.differing or shared.unstored):
        yield "nothing to share: none of these results is here; `snakemake --cores 4` makes them"
    counts = {"result": len(shared.new), "record": len(shared.records)}
    if staged := [counted(count, noun) for noun, count in counts.items() if count]:
        yield f"staged the .dvc files of {listed(staged)}; `git commit` and `dvc push` share them"
    for ref in shared.differing:
        yield f"{ref} stays here: git holds other bytes, {comparison(store, ref, progress)}"
    for origin in dict.fromkeys(shared.above.values()):
        made = [ref for ref, other in shared.above.items() if other == origin]
        yield f"{several(made)}: made from other bytes of {origin} than git holds; not shared"
    if shared.differing:
        yield (
            f"`dvc pull --force -R results/STAGE/KEY.dvc {RECORDS}` takes what git holds in place "
            "of a result here; `variorum share --replace` gives everybody the result here"
        )
    if shared.unstored:
        yield f"not shared, as DVC could not store them: {several(shared.unstored)}"


def comparison(store: Store, ref: Ref, progress: Progress) -> str:
    """Return how a result compares with the bytes in git, with the rule."""
    if not store.pin(ref).is_file():
        return "on another branch or in an older commit"
    files = pinned_files(store.pin(ref), DvcCache(store.root))
    if files is None:
        return f"which are not here ({fetching(store, ref)} fetches them to compare)"
    here = store.peek(ref)
    with COMPARISONS.held(store, progress) as folder:
        try:
            theirs = Store(folder).restore(ref, files)
        except StoreError:
            return "which are damaged in DVC's cache"
        witnesses = Witnesses(store)
        run = witnesses.run_of(ref, [manifest_digest(theirs.manifest)])
        if not (run and here.run):
            told = "not compared: no record here tells where they were made"
            return f"{told} ({coming})" if (coming := witnesses.coming()) else told
        _note(theirs, run)
        elsewhere = platform_differences(run, here.run, libraries_of(here.spec))
        rule, passed = judged(theirs, here.folder, compare(theirs.folder, here.folder), elsewhere)
    return f"{rule}: {'within tolerance' if passed else 'NOT within tolerance'}"


def _note(result: Result, run: object) -> None:
    (result.folder / RUN).write_text(readable_json(run), encoding="utf-8")
