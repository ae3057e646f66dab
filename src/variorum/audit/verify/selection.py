"""Select the results to check: named ones, the current experiment's, or all."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from variorum.audit.available import available, has_content, order
from variorum.base.errors import VariorumError, several
from variorum.identity.spec import Ref, Spec
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import ablation_names, load_ablation
from variorum.plan.experiment import REPORT, Plan, plan_experiment
from variorum.plan.loading import load_experiment
from variorum.plan.references import References
from variorum.run.publish import REPORT_FILES, TABLE_FILES, pages_of
from variorum.store.result import COPY, MANIFEST
from variorum.store.store import Store


@dataclass(frozen=True)
class Selection:
    """Hold results of one project, upstream first; some may be missing.

    pages: files that must equal the result's file of the same name. named: whether each result was
    requested by name.
    """

    store: Store
    refs: tuple[Ref, ...]
    pages: tuple[tuple[str, Ref], ...] = ()
    named: bool = False


def select(root: Path, references: Sequence[str], *, everything: bool = False) -> Selection:
    """Return the results that `references` name, with everything that they plan.

    Default: the current experiment with its pages; with `everything`, all results here. Raises
    `VariorumError` for references of several projects.
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
    found = sorted(available(store), key=order) if plan is None or everything else plan.nodes
    return Selection(store, tuple(found), tuple(_pages(store, plan)))


def _pages(store: Store, plan: Plan | None) -> Iterator[tuple[str, Ref]]:
    """Yield the published pages of the current experiment and of ablations."""
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
    """Return these results and all their inputs, upstream first."""
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
    """Return a result's inputs, and the available result it was adopted from."""
    for name in (MANIFEST, COPY):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            data = json.loads((store.folder(ref) / name).read_bytes())
            spec = Spec.from_data(data["spec"])
            if spec.ref == ref:
                origin = [Ref.parse(data["adopted"]["from"])] if "adopted" in data else []
                origins = [each for each in origin if has_content(store.folder(each))]
                return [*spec.upstream.values(), *origins]
    return []


def none_of(refs: Sequence[Ref]) -> str:
    """Return that results are unavailable, and how to get them."""
    if len(refs) == 1:
        target = f"results/{refs[0]}/{MANIFEST}"
        return (
            f"{refs[0]} is not here; make it with `snakemake --cores 4 {target}`, or fetch it with "
            "`dvc pull`"
        )
    found = f"none of {several(refs)} is here" if refs else "no result is here"
    return f"{found}; make results with `snakemake --cores 4`, or fetch them with `dvc pull`"
