"""Run a stage again from its stored inputs, and compare with its result.

On the platform that made a result the bytes must be the same; on another one each stage has a rule
(`tolerances`), which is printed with the outcome.
"""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from variorum.audit.available import has_content
from variorum.audit.scratch import RERUNS, project_beside
from variorum.audit.verify.file_diff import ResultDiff, compare
from variorum.audit.verify.selection import Selection, none_of
from variorum.audit.verify.tolerances import judged
from variorum.base.counts import counted
from variorum.base.errors import Stopped, VariorumError
from variorum.base.files import sha256_of
from variorum.base.git import running
from variorum.base.machine import Machine
from variorum.base.platforms import platform_differences
from variorum.base.progress import Progress
from variorum.identity.spec import Ref
from variorum.plan import current_code
from variorum.plan.ablation import ablation_plans
from variorum.plan.code_versions import CodeVersion
from variorum.plan.experiment import Node
from variorum.run import runner
from variorum.stages.task import Task
from variorum.store.result import Result, StoreError
from variorum.store.store import Store


@dataclass(frozen=True)
class RerunOutcome:
    """Hold the outcome of running a result's stage again.

    notes: what differed from the first run. rule: how it was judged.
    """

    ref: Ref
    label: str
    seconds: float
    comparison: ResultDiff
    notes: tuple[str, ...]
    rule: str
    passed: bool

    @property
    def verdict(self) -> str:
        """Return the verdict: identical, within tolerance, or different."""
        if self.comparison.is_identical:
            return "identical"
        return "within tolerance" if self.passed else "different"

    def lines(self) -> Iterator[str]:
        """Yield the outcome for people, the verdict first."""
        found = self.comparison
        files = counted(found.identical + len(found.differing) + len(found.missing), "file")
        if not found.is_identical:
            files = f"{found.identical} of {files} identical"
        yield f"{self.ref}  {self.label}  {self.verdict} ({files}), {self.seconds:.1f} s"
        yield from (f"  {note}" for note in self.notes)
        if found.is_identical:
            return
        yield f"  {self.rule}"
        yield from (f"  {name}: is missing in the rerun" for name in found.missing)
        yield from (f"  {name}: the stored result has no such file" for name in found.extra)
        for difference in found.differing:
            yield from (f"  {difference.name}: {detail}" for detail in difference.details)


@dataclass(frozen=True)
class Refused:
    """Hold a result that was not made again, and why.

    passed: whether it was not requested by name.
    """

    ref: Ref
    reason: str
    passed: bool = False
    verdict = "not rerun"

    def lines(self) -> Iterator[str]:
        """Yield the reason for people."""
        yield f"{self.ref}  was not rerun: {self.reason}"


def summary(outcomes: Sequence[RerunOutcome | Refused]) -> str:
    """Return the number of results by verdict, in a line."""
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    return f"{counted(len(outcomes), 'result')}: {counts}"


def rerun_all(selection: Selection, here: Machine) -> Iterator[RerunOutcome | Refused]:
    """Run the selected results again in turn, showing the remaining time.

    Missing results are skipped; raises `VariorumError` if all are missing.
    """
    store = selection.store
    available = {ref for ref in selection.refs if has_content(store.folder(ref))}
    if not available:
        raise VariorumError(f"nothing to run again: {none_of(selection.refs)}")
    took = {ref: _seconds(store, ref) for ref in selection.refs}
    by_others = made_by_others(store.root)
    progress = Progress("rerun")
    with progress.counting(sum(took.values()), "seconds, as it took to make them,"):
        for ref in selection.refs:
            if ref not in available:
                yield Refused(ref, "it is not here", passed=not selection.named)
                continue
            try:
                yield rerun(store, ref, here, Progress(f"rerun {ref}"), by_others.get(ref))
            except Stopped:
                raise
            except VariorumError as error:
                yield Refused(ref, str(error))
            progress.step(count=took[ref])


def _seconds(store: Store, ref: Ref) -> int:
    """Return how long a result took, at least one second; 0 if it is missing."""
    with suppress(StoreError):
        return max(1, round(float(store.peek(ref).run.get("seconds", 1))))
    return 0


def rerun(
    store: Store, ref: Ref, here: Machine, progress: Progress, planned: Node | None = None
) -> RerunOutcome:
    """Compute a result again, beside the store, and compare.

    The present code does it, or the code version that the result is `planned` with. Raises
    `VariorumError` if the result or an input is missing, or if its stage no longer takes its
    settings.
    """
    stored = store.open(ref)
    code = planned.code if planned else current_code.current_code(stored.spec)
    if code is None:
        raise VariorumError(
            f"{ref}: {ref.stage} no longer takes its settings, so it cannot be run again by "
            "the code that is here; check out the code that made it"
        )
    version = planned.version if planned else None
    for needed in stored.spec.upstream.values():
        if not has_content(store.folder(needed)):
            raise VariorumError(
                f"{ref} is made from {needed}, which is not here; fetch it "
                "with `dvc pull -R results` (`snakemake` restores results that a report or "
                "table carries)"
            )
    inputs = {name: store.open(needed) for name, needed in stored.spec.upstream.items()}
    begun = time.monotonic()
    try:
        with RERUNS.held(store, progress) as folder:
            if version:
                made = _made_by(version, store, stored, folder, here)
                output, run = made.folder, made.run
            else:
                output = folder / "output"
                output.mkdir(parents=True)
                task = Task(stored.spec, inputs, store.root, output, folder, here, progress)
                run = runner.compute(store, task)
            diff = compare(stored.folder, output)
            elsewhere = platform_differences(stored.run, run, code.libraries)
            rule, passed = judged(stored, output, diff, elsewhere)
            damaged = list(_damaged(stored, output, diff))
    except Stopped:
        raise Stopped(f"stopped while {ref} ran again; nothing of it was saved") from None
    seconds, label = time.monotonic() - begun, stored.run.get("label", "")
    notes = (*_not_as_before(stored, code.digest, version), *damaged)
    return RerunOutcome(ref, label, seconds, diff, notes, rule, passed and not damaged)


def _made_by(
    version: CodeVersion, store: Store, stored: Result, folder: Path, here: Machine
) -> Result:
    """Make a result's spec by another code version, in a project of its own."""
    version.put_in_place()
    beside = project_beside(store.root, folder)
    for upstream in set(stored.spec.upstream.values()):
        beside.folder(upstream).parent.mkdir(parents=True, exist_ok=True)
        beside.folder(upstream).symlink_to(store.folder(upstream))
    runner.submit(beside, stored.spec, str(stored.run.get("label", "")))
    options = ["--processes", str(here.processes)]
    options += ["--device", here.device] if here.device != "cpu" else []  # older code knows none
    program = "from variorum.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "run", str(stored.ref), *options],
        cwd=folder,
        env=running(version.package.parent),
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise VariorumError(f"{version.name} made it before but fails now: {said}")
    return beside.open(stored.ref)


def made_by_others(root: Path) -> dict[Ref, Node]:
    """Return the results that ablations plan with another code version."""
    plans = (plan for _, plan in ablation_plans(root))
    return {node.ref: node for plan in plans for node in plan if node.version}


def _not_as_before(stored: Result, code: str, version: CodeVersion | None) -> Iterator[str]:
    """Yield what else the rerun tests: an adoption, or the present code."""
    if version is not None:
        yield f"made by the code {version.name}, now and before"
    if stored.adopted is not None:
        yield f"it was adopted from {stored.adopted['from']}: this makes it for the first time"
    if code != stored.spec.code:
        yield "the code has changed since the result was made: this tests the present code"


def _damaged(stored: Result, output: Path, diff: ResultDiff) -> Iterator[str]:
    """Yield files that came out as the manifest says but differ in the store."""
    for each in diff.differing:
        entry = stored.manifest["files"].get(each.name)
        if entry and sha256_of(output / each.name) == entry["sha256"]:
            yield f"{each.name}: the stored file is damaged: the rerun matches the manifest"
