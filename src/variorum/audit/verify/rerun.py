"""rerun: a stage computed again from the stored upstream, and compared with the stored result.

On the platform that made a result the bytes must be the same; on another one each stage has a rule
of its own (`rules`), which is said with the outcome.
"""

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from variorum import runner
from variorum.ablation_plan import plan_ablation
from variorum.ablations import ablation_names, load_ablation
from variorum.audit.scratch import RERUNNING, RERUNS
from variorum.audit.verify.file_diff import Comparison, compare
from variorum.audit.verify.integrity import none_of
from variorum.audit.verify.platforms import platform_differences
from variorum.audit.verify.selection import Choice, holds_anything
from variorum.audit.verify.tolerances import judged
from variorum.errors import Stopped, VariorumError, clear_about_storage
from variorum.fingerprint import Fingerprint
from variorum.machine import Machine
from variorum.other_code.git import running
from variorum.other_code.trees import Tree
from variorum.plan import Node
from variorum.progress import Progress
from variorum.store import Ref, Result, Spec, Store, StoreError, sha256_of
from variorum.task import Task


@dataclass(frozen=True)
class Rerun:
    """How a result came out when its stage ran again.

    notes: what was different from the first time. rule: by which it was judged.
    """

    ref: Ref
    label: str
    seconds: float
    comparison: Comparison
    notes: tuple[str, ...]
    rule: str
    passed: bool

    @property
    def verdict(self) -> str:
        """In a word: identical, within the rules of another platform, or different."""
        if self.comparison.is_identical:
            return "identical"
        return "within tolerance" if self.passed else "different"

    def lines(self) -> Iterator[str]:
        """The outcome for people, the verdict first."""
        found = self.comparison
        files = f"{found.identical + len(found.differing) + len(found.missing)} files"
        if not found.is_identical:
            files = f"{found.identical} of {files} identical"
        yield f"{self.ref}  {self.label}  {self.verdict} ({files}), {self.seconds:.1f} s"
        yield from (f"  {note}" for note in self.notes)
        if found.is_identical:
            return
        yield f"  {self.rule}"
        yield from (f"  {name}: was not made again" for name in found.missing)
        yield from (f"  {name}: the stored result has no such file" for name in found.extra)
        for difference in found.differing:
            yield from (f"  {difference.name}: {detail}" for detail in difference.details)


@dataclass(frozen=True)
class Refused:
    """A result that was not made again, and why.

    passed: whether nobody asked for just this one.
    """

    ref: Ref
    reason: str
    passed: bool = False
    verdict = "not made again"

    def lines(self) -> Iterator[str]:
        """The reason for people."""
        yield f"{self.ref}  was not made again: {self.reason}"


def summary(outcomes: Sequence[Rerun | Refused]) -> str:
    """How many results came out how, in a line."""
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    return f"{len(outcomes)} results: {counts}"


def rerun_all(choice: Choice, here: Machine) -> Iterator[Rerun | Refused]:
    """Run the chosen results again, one after the other, with the time left.

    What is not here is passed over; raises `VariorumError` if nothing is.
    """
    store = choice.store
    here_are = {ref: holds_anything(store.folder(ref)) for ref in choice.refs}
    if not any(here_are.values()):
        raise VariorumError(f"nothing to run again: {none_of(choice.refs)}")
    took = {ref: _seconds(store, ref) for ref in choice.refs}
    by_others = made_by_others(store.root, choice.refs)
    progress = Progress("rerun")
    with progress.counting(sum(took.values()), "seconds, as it took to make them,"):
        for ref in choice.refs:
            if not here_are[ref]:
                yield Refused(ref, "it is not here", passed=not choice.named)
                continue
            try:
                yield rerun(store, ref, here, Progress(f"rerun {ref}"), by_others.get(ref))
            except Stopped:
                raise
            except VariorumError as error:
                yield Refused(ref, str(error))
            progress.step(count=took[ref])


def _seconds(store: Store, ref: Ref) -> int:
    """How long a result took to make, at least one second; nothing if it is not here."""
    with suppress(StoreError):
        return max(1, round(float(store.glance(ref).run.get("seconds", 1))))
    return 0


def rerun(
    store: Store, ref: Ref, here: Machine, progress: Progress, planned: Node | None = None
) -> Rerun:
    """Compute a result again, beside the store, and compare.

    It is done by the code as it is now, or by the tree that it is `planned` with. Raises
    `VariorumError` if the result or one that it is made from is not here, or if its stage does not
    take its settings.
    """
    stored = store.open(ref)
    spec, label = stored.spec, stored.run.get("label", "")
    code = planned.code if planned else _current_code(spec)
    tree = planned.tree if planned else None
    notes = tuple(_not_as_before(stored, code, tree))
    inputs = {name: _upstream(store, ref, upstream) for name, upstream in spec.upstream.items()}
    folder = store.root / RERUNS
    waiting = "waits for another one to end"
    with clear_about_storage(), store.locked(RERUNNING, lambda: progress.say(waiting)):
        begun = time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
        try:
            output, run = (
                _made_by(tree, store, stored, folder, here)
                if tree
                else _made(store, spec, inputs, folder, here, progress)
            )
            comparison = compare(stored.folder, output)
            elsewhere = platform_differences(stored.run, run, code.libraries)
            rule, passed = judged(stored, output, comparison, elsewhere)
            damaged = tuple(_damaged(stored, output, comparison))
        except Stopped:
            raise Stopped(f"stopped while {ref} ran again; nothing of it is kept") from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - begun
    notes, passed = (*notes, *damaged), passed and not damaged
    return Rerun(ref, label, seconds, comparison, notes, rule, passed)


def _made(
    store: Store,
    spec: Spec,
    inputs: Mapping[str, Result],
    folder: Path,
    here: Machine,
    progress: Progress,
) -> tuple[Path, Mapping[str, Any]]:
    """What the code that is here makes of a spec, and how it ran."""
    output = folder / "output"
    output.mkdir(parents=True)
    task = Task(spec, inputs, store.root, output, folder, here, progress)
    return output, runner.compute(store, task)


def _made_by(
    tree: Tree, store: Store, stored: Result, folder: Path, here: Machine
) -> tuple[Path, Mapping[str, Any]]:
    """What another tree's package makes of a result's spec, in a project of its own."""
    beside = Store(folder)
    folder.mkdir(parents=True)
    for upstream in stored.spec.upstream.values():
        beside.folder(upstream).parent.mkdir(parents=True, exist_ok=True)
        if not beside.folder(upstream).exists():
            beside.folder(upstream).symlink_to(store.folder(upstream))
    for path in store.root.iterdir():
        if path.name not in ("results", "scratch") and not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    runner.hand_over(beside, stored.spec, str(stored.run.get("label", "")))
    options = ["--processes", str(here.processes)]
    options += ["--device", here.device] if here.device != "cpu" else []  # older code knows none
    program = "from variorum.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "run", str(stored.ref), *options],
        cwd=folder,
        env=running(tree.package.parent),
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise VariorumError(f"{tree.name} made it, and cannot now: {said}")
    made = beside.open(stored.ref)
    return made.folder, made.run


def made_by_others(root: Path, refs: Iterable[Ref]) -> dict[Ref, Node]:
    """Of these results, those that an ablation has another tree's code make."""
    wanted = set(refs)
    found: dict[Ref, Node] = {}
    for name in ablation_names(root):
        with suppress(VariorumError):  # what cannot be planned names no code
            loaded = load_ablation(root, name)
            if any(variant.code for variant in loaded.variants.values()):
                plan = plan_ablation(loaded, root, offline=True)
                found |= {node.ref: node for node in plan if node.tree and node.ref in wanted}
    return found


def _current_code(spec: Spec) -> Fingerprint:
    code = runner.current_code(spec)
    if code is None:
        raise VariorumError(
            f"{spec.ref}: {spec.stage} no longer takes its settings, so it cannot be run again by "
            "the code that is here; check out the code that made it"
        )
    return code


def _not_as_before(stored: Result, code: Fingerprint, tree: Tree | None) -> Iterator[str]:
    """What the rerun tests beside the result: that it was rightly adopted, or the code of now."""
    if tree is not None:
        yield f"made by the code {tree.name}, and by it again"
    if stored.adopted is not None:
        yield f"it was adopted from {stored.adopted['from']}: this is the first time it is made"
    if code.digest != stored.spec.code:
        yield "the code is another than the one that made it: this tests the code that is here"


def _upstream(store: Store, ref: Ref, upstream: Ref) -> Result:
    if not (store.folder(upstream)).exists():
        raise VariorumError(
            f"{ref} is made from {upstream}, which is not here; fetch it with `dvc pull` "
            "(`snakemake -n` puts in place what came inside a report or table)"
        )
    return store.open(upstream)


def _damaged(stored: Result, output: Path, comparison: Comparison) -> Iterator[str]:
    """Files that came out as the manifest says, and are not so in the store."""
    for difference in comparison.differing:
        entry = stored.manifest["files"].get(difference.name)
        if entry and sha256_of(output / difference.name) == entry["sha256"]:
            yield f"{difference.name}: the stored file is damaged: the manifest has what came out"
