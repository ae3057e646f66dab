"""What the Snakefile asks: which results are missing, what they need, and how to call them.

The key decides identity and Snakemake decides and executes. Snakemake goes by modification times,
which say nothing here, so the input function of a finished result returns nothing: it is a leaf,
and times cannot make it run again.
"""

import os
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from variorum.audit.explain.operands import ResultIndex
from variorum.audit.explain.why import reason
from variorum.base.errors import VariorumError, clear_about_storage
from variorum.base.locks import Presence
from variorum.base.machine import TRAINING_PROCESSES
from variorum.identity.spec import Ref, Spec
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import ablation_names, load_ablation
from variorum.plan.code_versions import CodeVersion, refuse_unfit
from variorum.plan.experiment import REPORT, Node, Plan, plan_experiment
from variorum.plan.loading import load_experiment
from variorum.run.publish import REPORT_FILES, TABLE_FILES, is_published, same
from variorum.run.runner import submit
from variorum.stages.registry import STAGES as STAGES
from variorum.stages.registry import TRACKED
from variorum.store.records import restore_run_info
from variorum.store.restoring import restore_results
from variorum.store.result import MANIFEST, StoreError
from variorum.store.store import Store
from variorum.store.tracking import track_what_was_left

P = ParamSpec("P")
T = TypeVar("T")

WHOLE_GRAPH = "graph"
"""`--config graph=whole` shows finished results with what they needed, for `--rulegraph` and
`--report`."""


def training_processes(wildcards: Any, threads: int) -> int:
    """Parameter function: the processes of a training that was given so many slots."""
    return min(threads, TRAINING_PROCESSES)


def in_one_line(function: Callable[P, T]) -> Callable[P, T]:
    """End Snakemake with one clear line instead of a traceback when a user can mend it."""

    @wraps(function)
    def clear(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with clear_about_storage():
                return function(*args, **kwargs)
        except VariorumError as error:
            print(f"variorum: {error}", file=sys.stderr, flush=True)
            raise SystemExit(1) from None

    return clear


def meant(value: Any) -> Any:
    """A value of `--config` as YAML has it: Snakemake leaves these words as text in nested ones."""
    if isinstance(value, Mapping):
        return {name: meant(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [meant(inner) for inner in value]
    words = {"true": True, "false": False, "null": None}
    return words.get(value, value) if isinstance(value, str) else value


class Flow:
    """The plans of the current experiment and of the ablations, as Snakemake's rules see them."""

    def __init__(self, root: Path, overrides: Mapping[str, Any], *, dry_run: bool) -> None:
        """`overrides` is what `--config` gave; with `dry_run` nothing is downloaded to plan."""
        self.root = root
        self.store = Store(root)
        self._overrides = {k: meant(v) for k, v in overrides.items() if k != WHOLE_GRAPH}
        self._whole = overrides.get(WHOLE_GRAPH) == "whole"
        self._offline = dry_run
        self._ablations: dict[str, Plan] = {}

    @cached_property
    def current(self) -> Plan:
        """The plan of the current experiment."""
        loaded = load_experiment(self.root, self._overrides)
        return plan_experiment(loaded, self.root, offline=self._offline)

    def ablation(self, name: str) -> Plan:
        """The plan of one ablation."""
        if name not in self._ablations:
            loaded = load_ablation(self.root, name)
            plan = plan_ablation(loaded, self.root, offline=self._offline)
            self._refuse_unfit(plan)
            self._ablations[name] = plan
        return self._ablations[name]

    def _refuse_unfit(self, plan: Plan) -> None:
        """Raise `VariorumError` if what is missing cannot be made by the code it was planned with.

        Before anything runs, the code of each other tree is asked.
        """
        missing: dict[CodeVersion, list[Spec]] = {}
        for node in plan:
            if node.tree and not self.store.exists(node.ref):
                missing.setdefault(node.tree, []).append(node.spec)
        for tree, specs in missing.items():
            refuse_unfit(tree, specs)

    def node(self, ref: Ref) -> Node:
        """The planned node of `ref`, of whichever plan it is part."""
        for plan in self._ablations.values():
            if ref in plan.nodes:
                return plan.nodes[ref]
        if ref in self.current.nodes:
            return self.current.nodes[ref]
        for name in ablation_names(self.root):
            if ref in self.ablation(name).nodes:
                return self.ablation(name).nodes[ref]
        raise VariorumError(
            f"{ref} is not part of the current experiment or of an ablation; it belongs to other "
            "settings or other code. `variorum config` shows the current keys"
        )

    # What rules ask

    def manifest(self, ref: Ref) -> str:
        """The file that stands for a result in Snakemake's graph."""
        return (self.store.folder(ref) / MANIFEST).relative_to(self.root).as_posix()

    def needs(self, stage: str) -> Callable[[Any], list[str]]:
        """Input function of a stage's rule: nothing for a finished result."""

        @in_one_line
        def inputs(wildcards: Any) -> list[str]:
            node = self.node(Ref(stage, wildcards.key))
            if self.store.exists(node.ref):
                return self._manifests(node.upstream.values()) if self._whole else []
            tree = node.tree.package if node.tree else None
            submit(self.store, node.spec, node.label, tree, node.notes)
            return self._manifests(node.upstream.values())

        return inputs

    def label(self, stage: str) -> Callable[[Any], str]:
        """Parameter function: what people call the result."""
        return in_one_line(lambda wildcards: self.node(Ref(stage, wildcards.key)).label)

    def why(self, stage: str) -> Callable[[Any], str]:
        """Parameter function: why the result must be made, in a few words."""
        return in_one_line(
            lambda wildcards: reason(self.node(Ref(stage, wildcards.key)), self._shelf)
        )

    @cached_property
    def _shelf(self) -> ResultIndex:
        """What was finished before, each result read once."""
        return ResultIndex(self.store)

    def results(self, stage: str) -> Callable[[Any], list[str]]:
        """Input function of a stage's target: all of its results in the current experiment."""

        @in_one_line
        def inputs(wildcards: Any) -> list[str]:
            nodes = self.current.of_stage(stage)
            restore_results(self.store, nodes)
            return self._manifests(nodes)

        return inputs

    def _manifests(self, nodes: Iterable[Node]) -> list[str]:
        """Their manifests, none of them from the future.

        Snakemake refuses an output that is older than an input: where a clock was ahead when the
        input was made, say.
        """
        for node in nodes:
            _not_after_now(self.store.folder(node.ref) / MANIFEST)
        return [self.manifest(node.ref) for node in nodes]

    # Pages: files at a fixed place that must belong to the current keys

    @in_one_line
    def report(self, wildcards: Any = None) -> list[str]:
        """Input function of the report's page."""
        return self._page(self.current.last, Path(REPORT).parent, REPORT_FILES)

    @in_one_line
    def table(self, wildcards: Any) -> list[str]:
        """Input function of an ablation's table under `reports/`."""
        name = wildcards.ablation
        return self._page(self.ablation(name).last, Path("reports", name))

    @in_one_line
    def figures(self, wildcards: Any) -> list[str]:
        """Input function of what `--report` shows beside the page: the folder of its figures.

        It has no rule, so it is named with the whole graph only, once it is there.
        """
        refs = [node.ref for node in self.current.of_stage("figures")]
        return [self._folder(ref) for ref in refs if self._whole and self.store.exists(ref)]

    def folder_of_report(self, wildcards: Any = None) -> str:
        """Folder of the result that the report's page is copied from."""
        return self._folder(self.current.last.ref)

    def _folder(self, ref: Ref) -> str:
        return self.store.folder(ref).relative_to(self.root).as_posix()

    def table_result(self, wildcards: Any) -> str:
        """The result that an ablation's table is copied from."""
        return str(self.ablation(wildcards.ablation).last.ref)

    def _page(self, node: Node, folder: Path, names: Sequence[str] = ()) -> list[str]:
        """Nothing if every page in `folder` equals that of the result; else it and a key file.

        Pages are the files with these names, or all of a table and what stands beside it.

        The key file is made newer than stale pages, and new in content as well: Snakemake takes an
        input whose checksum it has seen for unchanged, however new it is.
        """
        restore_results(self.store, [node])
        if self.store.exists(node.ref) and not self._whole:
            result = self.store.open(node.ref)
            place = self.root / folder
            if not names and is_published(result, place):
                return []
            if names and all(same(place / name, result.file(name)) for name in names):
                return []
        # in a folder of its own: Snakemake lists a folder once, when it needs a file of it
        key_file = self.root / "scratch" / "pages" / str(node.ref) / "key"
        key_file.parent.mkdir(parents=True, exist_ok=True)
        key_file.write_text(f"{node.ref} {time.time_ns()}\n", encoding="utf-8")
        for name in (*REPORT_FILES, *TABLE_FILES):
            _not_after_now(self.root / folder / name)
        return [*self._manifests([node]), key_file.relative_to(self.root).as_posix()]

    # Before anything runs

    @in_one_line
    def start(self, marks: Path) -> None:
        """Clear what a killed Snakemake left in its folder `marks`, if no other one is running.

        Snakemake would refuse its dead predecessor's locks, and would run a result again that was
        published just before it could note so.
        """
        marks.mkdir(exist_ok=True)
        self._alive = Presence(marks / "variorum.lock")  # held until this process ends
        if not self._alive.is_alone():
            return
        for lock in (marks / "locks").glob("*.lock"):
            lock.unlink(missing_ok=True)
        folder, unfinished = marks / "incomplete", False
        for mark in [path for path in folder.rglob("*") if path.is_file()]:
            if self._is_complete(mark, folder):
                mark.unlink(missing_ok=True)
            else:
                unfinished = True
        restore_run_info(self.store)
        if not (unfinished or self._offline):  # else the end of this run will do it
            track_what_was_left(self.store, TRACKED)
        self._alive.share()

    def _is_complete(self, mark: Path, folder: Path) -> bool:
        """Whether Snakemake's mark, whose name encodes an output, is of a finished result."""
        encoded = "".join(part.removeprefix("@") for part in mark.relative_to(folder).parts)
        try:
            output = Path(urlsafe_b64decode(encoded).decode())
        except ValueError:
            return False
        if output.name != MANIFEST or len(output.parts) != 4:
            return False
        with suppress(StoreError):  # a damaged result is named when somebody needs it
            return self.store.exists(Ref(*output.parts[1:3]))
        return False


def _not_after_now(path: Path) -> None:
    """Take a file's time back to a second ago if it is later than that."""
    moment = time.time() - 1
    with suppress(FileNotFoundError):
        if path.stat().st_mtime > moment:
            os.utime(path, (moment, moment))
