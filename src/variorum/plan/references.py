"""Find the results that references name; every command takes the same ones.

A reference is nothing (the current experiment), a stage of it, an experiment, an ablation, a
variant of one (`positions/rotary`) or a run of that (`positions/rotary/1`), pinned results
(`before`, `before/1`), the beginning of a key (`81bc02`, `pretrain/81bc02`), or the path of a
result.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from pathlib import Path

from variorum.base.components import PACKAGE
from variorum.base.counts import counted
from variorum.base.errors import VariorumError, several
from variorum.base.project import find_project
from variorum.config.setting_errors import did_you_mean
from variorum.identity.package_code import Code
from variorum.identity.spec import Ref
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import ablation_names, load_ablation, refuse_name
from variorum.plan.experiment import Node, Plan, plan_experiment
from variorum.plan.loading import Overrides, experiment_names, load_experiment, named_experiment
from variorum.stages.registry import MODELS, STAGES
from variorum.store import pins
from variorum.store.result import MANIFEST, Result, StoreError
from variorum.store.store import Store

SHOWN = 5


@dataclass(frozen=True)
class Named:
    """Hold what a reference names; the results may be missing.

    refs: the results; of a whole experiment or ablation, and of runs, the models.
    plan: what they are part of, if they were found in one.
    whole: whether the reference names all of the plan.
    runs: of an ablation, a variant or a run: the model and evaluations of each, by
        `variant/seed`.
    """

    reference: str
    store: Store
    refs: tuple[Ref, ...]
    plan: Plan | None = None
    whole: bool = False
    runs: Mapping[str, Sequence[Node]] = field(default_factory=dict)

    @property
    def all(self) -> Iterable[Ref]:
        """Return all of a whole experiment or ablation; else the results themselves."""
        return self.plan.nodes if self.whole and self.plan else self.refs

    def one(self) -> Ref:
        """Return the result; raises `VariorumError` if the reference names several."""
        if len(self.refs) == 1:
            return self.refs[0]
        planned = self.plan.nodes if self.plan else {}
        labels = {ref: f", {planned[ref].label}" for ref in self.refs if ref in planned}
        names = [f"{ref}{labels.get(ref, '')}" for ref in self.refs]
        raise VariorumError(
            f"{self.reference} names {counted(len(names), 'result')} ({_some(names, '; ')}); "
            "give one of them"
        )


def refuse_setting(text: str) -> None:
    """Raise `VariorumError` if somebody gave a setting where a reference belongs."""
    if "=" in text and not Path(text).exists():
        dotted, _, value = text.partition("=")
        section, *inner = dotted.split(".", 1)
        setting = f"{section}={{{inner[0]}: {value}}}" if inner else text
        raise VariorumError(f"{text} is a setting and no result; give it as `--config '{setting}'`")


def at(path: str | Path | None) -> Named | None:
    """Return the result in a folder of any project; None if that holds no manifest."""
    if path is None or not (Path(path) / MANIFEST).is_file():
        return None
    folder = Path(path).resolve()
    ref, store = Ref(folder.parent.name, folder.name), Store(Path(*folder.parts[:-3]))
    if store.folder(ref) != folder:
        raise VariorumError(f"{folder}: a result lies in results/STAGE/KEY of a project; name one")
    return Named(str(path), store, (ref,))


class References:
    """Find what references name in the project at `root`.

    `overrides` are settings of the current experiment from a command line, `package` is the folder
    of the code that is planned with.
    """

    def __init__(
        self, root: Path, overrides: Overrides | None = None, package: Path = PACKAGE
    ) -> None:
        self.root, self.overrides = root, overrides
        self.code = Code(package)  # read once for all plans
        self.store = Store(root)

    @cached_property
    def current(self) -> Plan:
        """Return the plan of the current experiment."""
        loaded = load_experiment(self.root, self.overrides)
        return plan_experiment(loaded, self.root, offline=True, package=self.code)

    def named(self, reference: str | Path | None) -> Named:
        """Return what a reference names; raises `VariorumError` if that is nothing.

        Overrides are checked, whatever is named.
        """
        if self.overrides:
            _ = self.current
        if reference is None:
            return self._of_experiment("the current experiment", self.current)
        text = str(reference)
        if not text.strip():
            raise VariorumError("a reference must not be empty; leave it out, or name a result")
        refuse_setting(text)
        if found := at(text):
            return found
        if text in ablation_names(self.root):
            refuse_name(self.root, text)
        if text in STAGES:
            return self._of_stage(text)
        if text in experiment_names(self.root):
            loaded = named_experiment(self.root, text)
            plan = plan_experiment(loaded, self.root, offline=True, package=self.code)
            return self._of_experiment(text, plan)
        known = pins.pins(self.root).items()
        if pinned := tuple(ref for name, ref in known if f"{name}/".startswith(f"{text}/")):
            return Named(text, self.store, pinned)
        name, *run = text.split("/")
        if name in ablation_names(self.root) and len(run) <= 2:
            return self._of_ablation(text, name, run)
        return self._of_key(text)

    def to_pin(self, references: Iterable[str]) -> list[Ref]:
        """Return what pinning these pins: a variant's models, or the result of a name.

        Without any, the current model.
        """
        asked = [self.named(reference) for reference in references] or [self.named(None)]
        for each in asked:
            if each.whole and each.runs:
                variant = next(iter(each.runs)).split("/")[0]
                raise VariorumError(
                    f"{each.reference} names an ablation; keep its variants one by one, each under "
                    f"a name of its own, as {each.reference}/{variant}"
                )
        return [ref for each in asked for ref in (each.refs if each.runs else [each.one()])]

    def _of_experiment(self, text: str, plan: Plan) -> Named:
        trained = [plan.of_stage(stage) for stage in reversed(MODELS)]
        model = next(nodes[-1].ref for nodes in trained if nodes)
        return Named(text, self.store, (model,), plan, whole=True)

    def _of_stage(self, stage: str) -> Named:
        refs = tuple(node.ref for node in self.current.of_stage(stage))
        if not refs:
            raise VariorumError(f"{stage}: the current experiment makes none; name a result")
        return Named(stage, self.store, refs, self.current)

    def _of_ablation(self, text: str, name: str, run: Sequence[str]) -> Named:
        plan, start = self._ablation(name), "/".join([*run, ""])
        every = _runs(plan)
        runs = {each: read for each, read in every.items() if f"{each}/".startswith(start)}
        if not runs and len(run) == 1:
            known = list(dict.fromkeys(each.split("/")[0] for each in every))
            hint = did_you_mean(run[0], known)
            raise VariorumError(f"{text}: no such variant;{hint} known are {_some(known)}")
        if not runs:
            known = [f"{name}/{each}" for each in every]
            raise VariorumError(f"{text}: no such run; known are {_some(known)}")
        models = dict.fromkeys(plan.last.upstream[f"{each}/model"].ref for each in runs)
        return Named(text, self.store, tuple(models), plan, not run, runs)

    def _ablation(self, name: str) -> Plan:
        loaded = load_ablation(self.root, name)
        return plan_ablation(loaded, self.root, offline=True, package=self.code)

    def _of_key(self, text: str) -> Named:
        """Find a result, finished or planned, by the beginning of its key.

        Plans of ablations and other experiments are made only if it is neither here nor in the
        current one.
        """
        within = text.removeprefix("./").removeprefix("results/").rstrip("/")
        stage, _, start = within.rpartition("/")
        faults: list[str] = []
        unplanned: list[str] = []
        for refs, plan in self._known(start, faults, unplanned) if start else ():
            found = [r for r in refs if stage in ("", r.stage) and r.key.startswith(start)]
            if found:
                named = Named(text, self.store, tuple(found), plan)
                named.one()
                return named
        names = [*STAGES, *experiment_names(self.root), *ablation_names(self.root)]
        raise VariorumError(
            f"{text}: no result, stage, experiment or ablation is called that;"
            f"{did_you_mean(text, names)} `variorum ls` shows what is here"
            + "".join(f"; not everything could be planned: {fault}" for fault in faults[:1])
            + "".join(f"; {sentence}" for sentence in not_searched(unplanned))
        )

    def _known(
        self, start: str, faults: list[str], unplanned: list[str]
    ) -> Iterator[tuple[Iterable[Ref], Plan | None]]:
        """Yield what is here or planned, then the other plans.

        These only if `start` can begin a key. `faults` collects what fails, `unplanned` names of
        experiments.
        """
        here = list(self.store.refs())
        try:
            current = self.current
            yield dict.fromkeys([*here, *current.nodes]), current
        except VariorumError as fault:
            faults.append(str(fault))
            yield here, None
        if not re.fullmatch("[0-9a-f]+", start):
            return
        for name in ablation_names(self.root):
            try:
                plan = self._ablation(name)
                yield plan.nodes, plan
            except VariorumError as fault:
                faults.append(str(fault))
        for plan in experiment_plans(self.root, unplanned, self.code):
            yield plan.nodes, plan


def experiment_plans(
    root: Path, unplanned: list[str], package: Code | Path = PACKAGE
) -> Iterator[Plan]:
    """Yield the plan of each experiment, without a download; `unplanned` collects other names."""
    for name in experiment_names(root):
        try:
            loaded = named_experiment(root, name)
            yield plan_experiment(loaded, root, offline=True, package=package)
        except VariorumError:
            unplanned.append(name)


def not_searched(unplanned: list[str]) -> list[str]:
    """Return a sentence on experiments that could not be planned, if there are any."""
    if not unplanned:
        return []
    return [
        f"the plans of {several(unplanned)} were not searched, as they cannot be made here "
        f"(`variorum config experiment={unplanned[0]}` says why)"
    ]


def find(reference: str | Path | None = None, *, root: Path | None = None) -> Result:
    """Open the result that `reference` names, of the project that `root` lies in.

    Raises `VariorumError` if there is no such result, or more than one.
    """
    named = at(reference) or References(find_project(root)).named(reference)
    ref = named.one()
    try:
        return named.store.open(ref)
    except StoreError as error:
        if named.plan is None or ref not in named.plan.nodes or named.store.exists(ref):
            raise
        here = several(_models_here(named.store))
        others = f"finished models here, to name instead: {here}" if here else "no model is here"
        raise VariorumError(f"{named.plan.nodes[ref].label}: {error}; {others}") from None


def _models_here(store: Store) -> list[str]:
    """Return the finished models with their labels, the latest first."""
    found = []
    for ref in (ref for stage in reversed(MODELS) for ref in store.refs(stage)):
        with suppress(StoreError):  # a damaged one cannot be opened
            run = store.peek(ref).run
            found.append((str(run.get("begun", "")), f"{ref} ({run.get('label', '?')})"))
    return [name for _, name in sorted(found, key=itemgetter(0), reverse=True)]


def _runs(plan: Plan) -> dict[str, list[Node]]:
    """Return the model and evaluations of each run of an ablation."""
    upstream = plan.last.upstream
    runs = [name.removesuffix("/model") for name in upstream if name.endswith("/model")]
    return {
        run: [node for name, node in upstream.items() if name.startswith(f"{run}/")] for run in runs
    }


def _some(names: Sequence[str], between: str = ", ") -> str:
    """Join names, of many only some."""
    return between.join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])])
