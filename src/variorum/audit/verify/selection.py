"""Select the results that a check is about: named ones, the current experiment's, or all."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from variorum.base.errors import VariorumError, several
from variorum.identity.spec import KEY_LENGTH, Ref, Spec
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import ablation_names, load_ablation
from variorum.plan.experiment import REPORT, Plan, plan_experiment
from variorum.plan.loading import load_experiment
from variorum.plan.references import References
from variorum.run.publish import REPORT_FILES, TABLE_FILES, pages_of
from variorum.stages.registry import STAGES, place_of
from variorum.store.result import COPY, MANIFEST
from variorum.store.store import Store


@dataclass(frozen=True)
class Selection:
    """Results of one project, upstream first, which may not all be here.

    pages: files that must equal the one of the same name in a result.
    named: whether somebody asked for just these results.
    """

    store: Store
    refs: tuple[Ref, ...]
    pages: tuple[tuple[str, Ref], ...] = ()
    named: bool = False


def select(root: Path, references: Sequence[str], *, everything: bool = False) -> Selection:
    """Return the results that `references` name; for an experiment or ablation, all it plans.

    Without any, those of the current experiment with its pages; with `everything`, all that are
    here. Raises `VariorumError` for references of several projects.
    """
    if references and everything:
        raise VariorumError("give results or --all, not both")
    if references:
        known = References(root)
        named = [known.named(reference) for reference in references]
        stores = {each.store for each in named}
        if len(stores) > 1:
            raise VariorumError("these results lie in several projects; give one project's")
        refs = dict.fromkeys(ref for each in named for ref in each.all)
        return Selection(stores.pop(), tuple(refs), named=not any(each.whole for each in named))
    store, plan = Store(root), None
    with suppress(VariorumError) if everything else nullcontext():
        plan = plan_experiment(load_experiment(root), root, offline=True)
    found = _all(store) if plan is None or everything else plan.nodes
    return Selection(store, tuple(found), tuple(_pages(store, plan)))


def _all(store: Store) -> list[Ref]:
    """Return every result, also one that lacks its manifest."""
    refs = [
        Ref(folder.parent.name, folder.name)
        for folder in store.root.glob("results/*/*")
        if re.fullmatch(f"[0-9a-f]{{{KEY_LENGTH}}}", folder.name) and holds_anything(folder)
    ]
    return sorted(refs, key=lambda r: (r.stage in STAGES, place_of(r.stage), r))


def _pages(store: Store, plan: Plan | None) -> Iterator[tuple[str, Ref]]:
    """Yield the pages of the current experiment, if it is planned, and of ablations with any."""
    if plan is not None:
        yield from ((str(Path(REPORT).parent / name), plan.last.ref) for name in REPORT_FILES)
    for ablation in ablation_names(store.root):
        folder = Path("reports", ablation)
        if (store.root / folder).is_dir():
            with suppress(VariorumError):  # what cannot be planned now has no current table
                table = plan_ablation(load_ablation(store.root, ablation), store.root, offline=True)
                names: Sequence[str] = TABLE_FILES
                with suppress(VariorumError):  # if the table is not here, look for these
                    names = pages_of(store.peek(table.last.ref))
                yield from ((str(folder / name), table.last.ref) for name in names)


def with_upstream(store: Store, refs: Iterable[Ref]) -> list[Ref]:
    """Return these results and everything that they stand on, upstream first."""
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
    """Return what a result is made from, and the result it was adopted from if that is here."""
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
    """Tell whether a folder is more than the empty one that Snakemake makes before a stage."""
    return folder.is_dir() and any(folder.iterdir())


def none_of(refs: Sequence[Ref]) -> str:
    """Say that results are unavailable, and how to get them."""
    if len(refs) == 1:
        target = f"results/{refs[0]}/{MANIFEST}"
        return (
            f"{refs[0]} is not here; make it with `snakemake --cores 4 {target}`, or fetch it with "
            "`dvc pull`"
        )
    found = f"none of {several(refs)} is here" if refs else "no result is here"
    return f"{found}; make results with `snakemake --cores 4`, or fetch them with `dvc pull`"
