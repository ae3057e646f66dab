"""Report to the Snakefile which results are missing, their needs, and their labels.

The key decides identity and Snakemake decides and executes. Snakemake uses modification times,
which say nothing here, so the input function of a finished result returns nothing: it is a leaf,
and times cannot make it run again.
"""

import gc
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from variorum.audit.explain.operands import ResultIndex
from variorum.audit.explain.why import reason
from variorum.base.errors import VariorumError, told_in_one_line
from variorum.base.machine import TRAINING_PROCESSES
from variorum.base.project import refuse_other_code
from variorum.config.setting_layers import Layered
from variorum.identity.spec import Ref, Spec
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import ablation_names, load_ablation
from variorum.plan.code_versions import CodeVersion, refuse_unfit
from variorum.plan.experiment import REPORT, Node, Plan, plan_experiment
from variorum.plan.loading import Overrides, load_experiment, on_command_line
from variorum.plan.plan_file import VARIABLE, PlanFile, hold, write_plan
from variorum.plan.references import experiment_plans, not_searched
from variorum.run.given_settings import (
    ALONE,
    given_settings,
    is_command,
    refuse_to_pack,
    refuse_unshared,
)
from variorum.run.publish import REPORT_FILES, TABLE_FILES, Page
from variorum.run.snakemake_marks import MARKS, begin, marked, not_after_now
from variorum.stages.registry import STAGES, TRACKED
from variorum.store.restoring import Copy, restorable, restore_results
from variorum.store.result import MANIFEST
from variorum.store.store import Store

P = ParamSpec("P")
T = TypeVar("T")

PAGE_RULES = ("report", "publish_report")
"""Rules whose target is the current experiment's page."""


def training_processes(wildcards: Any, threads: int) -> int:
    """Return the processes of a training that was given so many slots."""
    return min(threads, TRAINING_PROCESSES)


def in_one_line(function: Callable[P, T]) -> Callable[P, T]:
    """End Snakemake with one line, not a traceback, if a user can fix the error."""

    @wraps(function)
    def clear(*args: P.args, **kwargs: P.kwargs) -> T:
        with told_in_one_line():
            return function(*args, **kwargs)

    return clear


class Flow:
    """Hold the plan that Snakemake uses, as its rules see it.

    `prepare` plans what is asked, once, into one file; a run then restores results that this
    machine holds elsewhere, and a dry run only finds out which. After that, rules look things up.
    """

    def __init__(
        self,
        root: Path,
        overrides: Overrides,
        *,
        dry_run: bool,
        whole: bool = False,
        first: Callable[["Flow"], None] | None = None,
    ) -> None:
        """Take the settings that were given; a dry run downloads and changes nothing.

        `whole` shows finished results with what they needed. The first rule calls `first`.
        """
        self.root = root
        self.store = Store(root)
        self.stale: list[str] = []
        self._given = overrides if isinstance(overrides, Layered) else on_command_line(overrides)
        self._whole = whole
        self._dry_run = dry_run
        self._first = first
        self._ablations: dict[str, Plan] = {}
        self._others: list[Plan] = []  # of experiments that are not the current one
        self._elsewhere: Mapping[Ref, Copy] = {}
        self._marked: set[Ref] = set()

    @cached_property
    def current(self) -> Plan:
        """Return the plan of the current experiment."""
        loaded = load_experiment(self.root, self._given)
        return plan_experiment(loaded, self.root, offline=self._dry_run)

    def ablation(self, name: str) -> Plan:
        """Return the plan of one ablation; raises `VariorumError` beside given settings."""
        if self._given.values:
            raise VariorumError(f"ablation {name}: {ALONE.format(', '.join(self._given.values))}")
        if name not in self._ablations:
            loaded = load_ablation(self.root, name)
            plan = plan_ablation(loaded, self.root, offline=self._dry_run)
            for version, specs in self._by_version(plan).items():
                refuse_unfit(version, specs)  # before anything runs
            self._ablations[name] = plan
        return self._ablations[name]

    def _by_version(self, nodes: Iterable[Node]) -> dict[CodeVersion, list[Spec]]:
        """Return what is missing of these nodes, by the code version that makes it."""
        missing: dict[CodeVersion, list[Spec]] = {}
        for node in nodes:
            if node.version and not self.store.exists(node.ref):
                missing.setdefault(node.version, []).append(node.spec)
        return missing

    @property
    def _planned(self) -> dict[Ref, Node]:
        """Return every result of the plans that were made so far."""
        plans = [*self._others, *self._ablations.values()]
        plans += [self.current] if "current" in vars(self) else []
        return {ref: node for plan in reversed(plans) for ref, node in plan.nodes.items()}

    @cached_property
    def nodes(self) -> dict[Ref, Node]:
        """Return every result that is planned, from `prepare` on."""
        return self._planned

    def node(self, ref: Ref) -> Node:
        """Return the planned node of `ref`; raises `VariorumError` if it is not planned."""
        if ref in self.nodes:
            return self.nodes[ref]
        raise VariorumError(self._unknown(ref))

    def _unknown(self, ref: Ref) -> str:
        return (
            f"{ref} is not made by these settings and this code; it belongs to other settings or "
            "other code: give these by --config, or check it out (`variorum config` shows the keys)"
        )

    # What rules ask

    def manifest(self, ref: Ref) -> str:
        """Return the file that stands for a result in Snakemake's graph."""
        return (self.store.folder(ref) / MANIFEST).relative_to(self.root).as_posix()

    def _manifests(self, refs: Iterable[Ref]) -> list[str]:
        """Return their manifests; a dry run leaves out results that a run would repair first."""
        unnamed = self._elsewhere.keys() | self._marked
        return [self.manifest(ref) for ref in refs if ref not in unnamed]

    def needs(self, stage: str) -> Callable[[Any], list[str]]:
        """Return the input function of a stage's rule, which is empty for a finished result."""

        @in_one_line
        def inputs(wildcards: Any) -> list[str]:
            self._once()
            ref = Ref(stage, wildcards.key)
            upstream = self._upstream(ref)
            return self._manifests(upstream) if self._whole or not self.store.exists(ref) else []

        return inputs

    def _upstream(self, ref: Ref) -> list[Ref]:
        """Return what a planned result is made from."""
        return [node.ref for node in self.node(ref).upstream.values()]

    def label(self, stage: str) -> Callable[[Any], str]:
        """Return the parameter function of the result's label."""
        return in_one_line(lambda wildcards: self.node(Ref(stage, wildcards.key)).label)

    def why(self, stage: str) -> Callable[[Any], str]:
        """Return the parameter function that says why a result must be made."""
        return in_one_line(
            lambda wildcards: reason(self.node(Ref(stage, wildcards.key)), self._index)
        )

    @cached_property
    def _index(self) -> ResultIndex:
        """Return what was finished before, each result read once."""
        return ResultIndex(self.store)

    def results(self, stage: str) -> Callable[[Any], list[str]]:
        """Return the input function of a stage's target: all its results in the experiment."""

        @in_one_line
        def inputs(wildcards: Any) -> list[str]:
            self._once()
            return self._manifests(node.ref for node in self.current.of_stage(stage))

        return inputs

    # Pages: files at a fixed place that must belong to the current keys

    @in_one_line
    def report(self, wildcards: Any = None) -> list[str]:
        """Return the input of the report's page."""
        self._once()
        return self._page(self._report)

    @in_one_line
    def table(self, wildcards: Any) -> list[str]:
        """Return the input of an ablation's table under `reports/`."""
        self._once()
        return self._page(self._table(wildcards.ablation))

    @in_one_line
    def figures(self, wildcards: Any) -> list[str]:
        """Return the folder of figures, which `--report` shows beside the page.

        It has no rule, so it is named with the whole graph only, once it is there.
        """
        self._once()
        refs = [node.ref for node in self.current.of_stage("figures")]
        return [self._folder(ref) for ref in refs if self._whole and self.store.exists(ref)]

    def folder_of_report(self, wildcards: Any = None) -> str:
        """Return the folder of the result that the report's page is copied from."""
        return self._folder(self.current.last.ref)

    def _folder(self, ref: Ref) -> str:
        return self.store.folder(ref).relative_to(self.root).as_posix()

    def table_result(self, wildcards: Any) -> str:
        """Return the result that an ablation's table is copied from."""
        return str(self.ablation(wildcards.ablation).last.ref)

    @property
    def _report(self) -> Page:
        return Page(self.current.last.ref, Path(REPORT).parent, REPORT_FILES)

    def _table(self, ablation: str) -> Page:
        return Page(self.ablation(ablation).last.ref, Path("reports", ablation), TABLE_FILES)

    def _page(self, page: Page) -> list[str]:
        """Return nothing if every page equals that of the result; else the result."""
        is_done = not self._whole and self._is_published(page)
        return [] if is_done else self._manifests([page.ref])

    def _is_published(self, page: Page) -> bool:
        copy = self._elsewhere.get(page.ref)
        return page.is_published(self.store, copy.files if copy else None)

    # Before anything runs

    def prepare(self, targets: Iterable[str] = ()) -> None:
        """Make a plan for `targets`; outside dry runs also restore what this machine holds.

        `stale` are then the pages to be copied anew: to Snakemake, which uses times, they have
        to be forced.
        """
        pages, asked = self._asked(targets)
        self.plan = write_plan(self.root, self.nodes.values())
        if self._dry_run:
            self._elsewhere = restorable(self.store, asked)
            marks = marked(self.store, self.root / MARKS)
            self._marked = {ref for ref in marks.values() if ref is not None}
        else:
            self._held = hold(self.plan)  # until this process ends
            restore_results(self.store, asked)
            for version in self._by_version(self.nodes.values()):
                version.put_in_place()
            self._date_from_the_present(pages)
        self.stale = [page.target for page in pages if not self._is_published(page)]

    def _once(self) -> None:
        """Prepare when the first rule asks: before that, Snakemake does not tell its targets."""
        asked, self._first = self._first, None
        if asked is not None:
            asked(self)

    def _asked(self, targets: Iterable[str]) -> tuple[list[Page], list[Node]]:
        """Return the pages and all results that targets name; without any, plan the experiment."""
        pages: list[Page] = []
        nodes: list[Node] = []
        for target in map(os.path.normpath, targets or (REPORT,)):
            folder, name = os.path.split(target)
            parts = Path(folder).parts
            if target in STAGES:
                nodes += self.current.of_stage(target)
            elif parts[:1] == ("reports",) and len(parts) == 2 and name in TABLE_FILES:
                pages.append(self._table(parts[1]))
            elif parts[:1] == ("results",) and len(parts) == 3 and name == MANIFEST:
                nodes.append(self._found(Ref(*parts[1:])))
            elif target in PAGE_RULES or (Path(folder) == Path(REPORT).parent):
                pages.append(self._report)
            else:  # a rule of somebody's own, or nothing that Snakemake knows
                _ = self.current
        return pages, nodes + [self.node(page.ref) for page in pages]

    def _found(self, ref: Ref) -> Node:
        """Return the node of a result from any plan; other plans may be broken."""
        faults: list[str] = []
        for name in (None, *([] if self._given.values else ablation_names(self.root))):
            try:
                plan = self.current if name is None else self.ablation(name)
                if ref in plan.nodes:
                    return plan.nodes[ref]
            except VariorumError as fault:
                faults.append(str(fault))
        others, unplanned = ([], []) if self._given.values else self._experiments
        for other in others:
            if ref in other.nodes:
                if not any(other is each for each in self._others):
                    self._others.append(other)
                return other.nodes[ref]
        raise VariorumError("; ".join(faults[:1] or [self._unknown(ref), *not_searched(unplanned)]))

    @cached_property
    def _experiments(self) -> tuple[list[Plan], list[str]]:
        unplanned: list[str] = []
        return list(experiment_plans(self.root, unplanned)), unplanned

    def _date_from_the_present(self, pages: Iterable[Page]) -> None:
        """Set times of manifests and pages from the future to the present.

        Snakemake refuses an output that is older than an input, as after a clock that was ahead.
        """
        for ref in self.nodes:
            not_after_now(self.store.folder(ref) / MANIFEST)
        for page in pages:
            for file in page.files:
                not_after_now(self.root / file)

    @in_one_line
    def start(self) -> None:
        """Put right what a killed Snakemake left; others know of this one until it ends."""
        self._alive = begin(self.store, TRACKED)


class JobFlow(Flow):
    """Read the plan in the process of one job, which an executor starts.

    Neither settings nor ablations nor locks are looked at, so an edit of them ends no job.
    """

    def __init__(self, root: Path, plan: Path) -> None:
        super().__init__(root, {}, dry_run=True)
        self.plan = plan

    @cached_property
    def _file(self) -> PlanFile:
        return PlanFile(self.root, self.plan)

    def _upstream(self, ref: Ref) -> list[Ref]:
        return list(self._file.job(ref).spec.upstream.values())

    def label(self, stage: str) -> Callable[[Any], str]:
        """Return the parameter function of the result's label."""
        return in_one_line(lambda wildcards: self._file.job(Ref(stage, wildcards.key)).label)

    def why(self, stage: str) -> Callable[[Any], str]:
        """Return a constant: Snakemake's main process said why."""
        return lambda wildcards: "as planned"


def _plan_of_job() -> str:
    """Return where the plan of this job's process lies; raises `VariorumError` if unknown."""
    plan = os.environ.get(VARIABLE)
    if not plan:
        raise VariorumError(
            f"{VARIABLE} is not set in the process of this job, so its plan is unknown; have the "
            "executor hand on variables of the environment (Slurm: --export=ALL)"
        )
    return plan


def flow_of(workflow: Any) -> Flow:
    """Return this process's flow: one that plans, or, of a single job, one that reads."""
    root = Path(workflow.basedir)
    in_one_line(refuse_other_code)(root)
    if not workflow.is_main_process:
        return JobFlow(root, root / in_one_line(_plan_of_job)())

    def first(flow: Flow) -> None:
        refuse_unshared(workflow.storage_settings.shared_fs_usage)
        flow.prepare(workflow.dag_settings.targets)
        refuse_to_pack(flow.stale)
        os.environ[VARIABLE] = flow.plan.relative_to(root).as_posix()
        workflow.dag.forcefiles.update(flow.stale)
        if dry_run:  # Snakemake would write a list of all files, for `--trust-io-cache`
            workflow.persistence.save_iocache = lambda: None

    os.environ[VARIABLE] = ""  # none as yet
    dry_run = workflow.output_settings.dryrun
    read = in_one_line(given_settings)
    given, whole = read(root, workflow.config_settings, is_command())
    flow = Flow(root, given, dry_run=dry_run, whole=whole, first=first)
    if dry_run:
        gc.disable()  # it ends soon; to look for garbage took a tenth of its time
    else:
        flow.start()
    return flow
