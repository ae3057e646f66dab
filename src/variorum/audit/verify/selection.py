"""Select the results to check: named ones, the current experiment's, or all."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from variorum.audit.available import available, closure, has_content, order
from variorum.audit.verify.published import publication, publications
from variorum.base.errors import VariorumError, several
from variorum.identity.spec import Ref
from variorum.plan.ablation import ablation_plans
from variorum.plan.experiment import REPORT, Plan, plan_experiment
from variorum.plan.loading import load_experiment
from variorum.plan.references import References
from variorum.run.publish import REPORT_FILES, REPORTS, TABLE_FILES, Page, pages_of
from variorum.store.manifests import Manifest, read
from variorum.store.result import COPY, MANIFEST
from variorum.store.store import Store


@dataclass(frozen=True)
class Selection:
    """Hold results of one project, upstream first; some may be missing.

    pages: must equal the result's files of the same names. named: whether each result was requested
    by name. current: results of the current plans, whose pages a run would publish.
    """

    store: Store
    refs: tuple[Ref, ...]
    pages: tuple[Page, ...] = ()
    named: bool = False
    current: frozenset[Ref] = frozenset()


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
        store = stores.pop()
        refs = tuple(dict.fromkeys(ref for each in named for ref in each.all))
        pages = tuple(_pages_of(store, refs))
        return Selection(store, refs, pages, named=not any(each.whole for each in named))
    store, plan = Store(root), None
    with suppress(VariorumError) if everything else nullcontext():
        plan = plan_experiment(load_experiment(root), root, offline=True)
    found = sorted(available(store), key=order) if plan is None or everything else plan.nodes
    pages = tuple(_pages(store, plan))
    return Selection(store, tuple(found), pages, current=frozenset(page.ref for page in pages))


def _pages(store: Store, plan: Plan | None) -> Iterator[Page]:
    """Yield the page of the current experiment, and all that lies below `reports/`."""
    if plan is not None:
        yield Page(plan.last.ref, Path(REPORT).parent, REPORT_FILES)
    tables = _tables(store)
    yield from tables.values()
    yield from (each.page for each in publications(store.root) if each.folder not in tables)


def _pages_of(store: Store, refs: Collection[Ref]) -> Iterator[Page]:
    """Yield where these results are published or should be, and what is of unknown results.

    The one page of all experiments must be of one of these results, or of another one here.
    """
    for ref in refs:
        if ref.stage == "report" and (store.root / REPORT).exists():
            yield Page(ref, Path(REPORT).parent, REPORT_FILES)
    tables = {folder: page for folder, page in _tables(store).items() if page.ref in refs}
    yield from tables.values()
    for each in publications(store.root):
        if each.folder not in tables and (not each.refs or each.refs & set(refs)):
            yield each.page


def _tables(store: Store) -> dict[Path, Page]:
    """Return the files of each ablation's table that is published, by their folder."""
    found = {}
    for name, plan in ablation_plans(store.root):
        folder, ref = Path(REPORTS, name), plan.last.ref
        if (store.root / folder).is_dir():
            names = dict.fromkeys((*TABLE_FILES, *publication(store.root, folder).page.names))
            with suppress(VariorumError):  # the table may be unavailable
                names |= dict.fromkeys(pages_of(store.peek(ref)))
            found[folder] = Page(ref, folder, tuple(names))
    return found


def with_upstream(store: Store, refs: Iterable[Ref]) -> list[Ref]:
    """Return these results and all their inputs, upstream first."""
    return sorted(closure(refs, lambda ref: _upstream(store, ref)), key=order)


def _upstream(store: Store, ref: Ref) -> list[Ref]:
    """Return a result's inputs, and the available result it was adopted from."""
    for name in (MANIFEST, COPY):
        with suppress(OSError):
            manifest = read(ref, name, (store.folder(ref) / name).read_bytes())
            if isinstance(manifest, Manifest) and manifest.spec.ref == ref:
                origin = [Ref.parse(manifest.adopted["from"])] if manifest.adopted else []
                origins = [each for each in origin if has_content(store.folder(each))]
                return [*manifest.spec.upstream.values(), *origins]
    return []


def none_of(refs: Sequence[Ref]) -> str:
    """Return that results are unavailable, and how to get them."""
    if len(refs) == 1:
        make = f"make it with `snakemake --cores 4 results/{refs[0]}/{MANIFEST}`"
        return f"{refs[0]} is not here; {make}, or fetch it with `dvc pull -R results`"
    found = f"none of {several(refs)} is here" if refs else "no result is here"
    make = "make results with `snakemake --cores 4`"
    return f"{found}; {make}, or fetch them with `dvc pull -R results`"
