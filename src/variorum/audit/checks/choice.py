"""Which results a check is about: those that references name, the current experiment's, or all."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from variorum.ablation_plan import plan_ablation
from variorum.ablations import ablation_names, load_ablation
from variorum.engines.workflow import REPORT_FILES, TABLE_FILES
from variorum.errors import VariorumError
from variorum.experiments import load_experiment
from variorum.placing import pages_of
from variorum.plan import REPORT, Plan, plan_experiment
from variorum.references import References
from variorum.stages.stage_settings import STAGES
from variorum.store import COPY, KEY_LENGTH, MANIFEST, Ref, Spec, Store


@dataclass(frozen=True)
class Choice:
    """Results of one project, in the order of the flow, which may not all be here.

    pages: files that must equal the one of the same name in a result.
    named: whether somebody asked for just these results.
    """

    store: Store
    refs: tuple[Ref, ...]
    pages: tuple[tuple[str, Ref], ...] = ()
    named: bool = False


def choose(root: Path, references: Sequence[str], *, everything: bool = False) -> Choice:
    """The results that `references` name; of an experiment or ablation, all that it plans.

    Without any, those of the current experiment with its pages; with `everything`, all that are
    here. Raises `VariorumError` for references of several projects.
    """
    if references and everything:
        raise VariorumError("give results or --all, not both")
    if references:
        return _named(root, references)
    store, plan = Store(root), None
    with suppress(VariorumError) if everything else nullcontext():
        plan = plan_experiment(load_experiment(root), root, offline=True)
    refs = _all(store) if plan is None or everything else plan.nodes
    return Choice(store, tuple(refs), tuple(_pages(store, plan)))


def _named(root: Path, references: Sequence[str]) -> Choice:
    known = References(root)
    named = [known.named(reference) for reference in references]
    stores = {each.store for each in named}
    if len(stores) > 1:
        raise VariorumError("these results lie in several projects; give those of one at a time")
    refs = dict.fromkeys(ref for each in named for ref in each.all)
    return Choice(stores.pop(), tuple(refs), named=not any(each.whole for each in named))


def _all(store: Store) -> list[Ref]:
    """Every result, also one that lacks its manifest."""
    stages = list(STAGES)
    refs = [
        Ref(folder.parent.name, folder.name)
        for folder in store.root.glob("results/*/*")
        if re.fullmatch(f"[0-9a-f]{{{KEY_LENGTH}}}", folder.name) and holds_anything(folder)
    ]
    return sorted(refs, key=lambda r: (stages.index(r.stage) if r.stage in stages else -1, r))


def _pages(store: Store, plan: Plan | None) -> Iterator[tuple[str, Ref]]:
    """The pages of the current experiment, whose plan is given, and of ablations that have any."""
    if plan is not None:
        yield from _placed(store, plan.last.ref, Path(REPORT).parent)
    for name in ablation_names(store.root):
        if (store.root / "reports" / name).is_dir():
            with suppress(VariorumError):  # what cannot be planned now has no current table
                table = plan_ablation(load_ablation(store.root, name), store.root, offline=True)
                yield from _placed(store, table.last.ref, Path("reports", name))


def _placed(store: Store, ref: Ref, folder: Path) -> Iterator[tuple[str, Ref]]:
    """The pages in a folder that must equal those of a result."""
    names: Sequence[str] = TABLE_FILES if ref.stage == "table" else REPORT_FILES
    if ref.stage == "table":
        with suppress(VariorumError):  # if it is not here, it is these that are looked for
            names = pages_of(store.glance(ref))
    yield from ((str(folder / name), ref) for name in names)


def with_upstream(store: Store, refs: Iterable[Ref]) -> list[Ref]:
    """These results and everything that they stand on, upstream first."""
    order: dict[Ref, None] = {}

    def visit(ref: Ref) -> None:
        if ref not in order:
            for upstream in _upstream(store, ref):
                visit(upstream)
            order[ref] = None

    for ref in refs:
        visit(ref)
    return list(order)


def _upstream(store: Store, ref: Ref) -> list[Ref]:
    """What a result is made from, and if it was adopted and that is here, from which one."""
    for name in (MANIFEST, COPY):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            data = json.loads((store.folder(ref) / name).read_bytes())
            spec = Spec.from_data(data["spec"])
            if spec.ref == ref:
                origin = [Ref.parse(data["adopted"]["from"])] if "adopted" in data else []
                kept = [each for each in origin if holds_anything(store.folder(each))]
                return [*spec.upstream.values(), *kept]
    return []


def holds_anything(folder: Path) -> bool:
    """Whether a folder is more than the empty one that Snakemake makes before a stage runs."""
    return folder.is_dir() and any(folder.iterdir())
