"""Find what a result was made from, wherever that is noted."""

from contextlib import suppress
from functools import cache
from pathlib import Path

from variorum.audit.available import Upstream
from variorum.identity.spec import Ref
from variorum.plan.plan_file import PlanFile
from variorum.run.runner import submitted
from variorum.run.snakemake_marks import plans_in_use
from variorum.store.result import StoreError
from variorum.store.store import Store
from variorum.store.vault import Vault


def upstream_of(root: Path, vault: Vault) -> Upstream:
    """Return a function that returns a result's inputs; None if they are not known.

    A manifest here tells them, a plan that a process uses, or a manifest that DVC has stored.
    """
    store = Store(root)

    @cache
    def plans() -> list[PlanFile]:
        return [PlanFile(root, path) for path in plans_in_use(root)]

    def upstream(ref: Ref) -> list[Ref] | None:
        with suppress(StoreError):
            return list(store.peek(ref).spec.upstream.values())
        with suppress(StoreError):
            return list(submitted(store, ref).spec.upstream.values())
        for plan in plans():
            if ref in plan:
                return list(plan.job(ref).spec.upstream.values())
        return vault.upstream(ref)

    return upstream
