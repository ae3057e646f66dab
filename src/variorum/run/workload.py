"""Find what a target lacks: results, what they share, their time and disk.

A target is what Snakemake takes, or a reference. What is missing is what Snakemake would make for
it: results that are not here, and that nothing finished stands between.
"""

import heapq
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from variorum.base.counts import counted
from variorum.base.errors import VariorumError
from variorum.base.machine import TRAINING_PROCESSES, Device, training_slots
from variorum.base.text_tables import table_lines
from variorum.identity.spec import Ref
from variorum.plan.experiment import REPORT, Node
from variorum.plan.references import Named, References
from variorum.report.units import duration, size
from variorum.run.estimate import Estimate, Estimates
from variorum.run.given_settings import ALONE
from variorum.stages.registry import STAGES, place_of
from variorum.store.restoring import holds
from variorum.store.result import MANIFEST

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Sharing:
    """Hold what runs have in common.

    serving: results that several runs need. saved: results that there would be besides if each run
    made its own.
    """

    serving: int
    saved: int


@dataclass(frozen=True)
class Workload:
    """Hold what there is to do for a target.

    nodes: all that the target stands on, in the order of the flow. complete: what is here of it.
    missing: what would be made; an estimate is None where it is unknown. seconds: from beginning to
    end, of what is known. sharing: None where there are no runs to compare. load: processes that
    want a core just now.
    """

    target: str
    nodes: tuple[Node, ...]
    complete: frozenset[Ref]
    missing: Mapping[Ref, Estimate | None]
    seconds: float
    cores: int
    sharing: Sharing | None = None
    load: float = 0.0

    @property
    def known(self) -> list[Estimate]:
        """Return the estimates of missing results that are known."""
        return [estimate for estimate in self.missing.values() if estimate is not None]

    @property
    def n_bytes(self) -> int:
        """Return what the missing results take on the disk, as far as it is known."""
        return sum(estimate.n_bytes for estimate in self.known)


def workload(
    root: Path,
    target: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    cores: int | None = None,
    device: Device = "cpu",
) -> Workload:
    """Return what `target` takes with so many cores, by default all that are here.

    Raises `VariorumError` if nothing is called that, or it cannot be planned.
    """
    load = os.getloadavg()[0]
    references = References(root, overrides)
    named = references.named(reference_of(target))
    if overrides and named.plan is not references.current:
        raise VariorumError(f"{target}: {ALONE.format(', '.join(overrides))}")
    granted = cores or len(os.sched_getaffinity(0))
    wanted = _wanted(named)
    needed = everything(wanted)
    here = cache(holds(references.store))
    missing = walk(wanted, here)
    estimates = Estimates(references.store, min(granted, TRAINING_PROCESSES), device)
    found = {node.ref: estimates.of(node) for node in missing}
    return Workload(
        target or REPORT,
        needed,
        frozenset(node.ref for node in needed if here(node.ref)),
        found,
        span(missing, {ref: e.seconds if e else 0.0 for ref, e in found.items()}, granted),
        granted,
        sharing(named.runs.values()) if len(named.runs) > 1 else None,
        load,
    )


def reference_of(target: str | None) -> str | None:
    """Return the reference that means what Snakemake would make for `target`."""
    if target is None or "/" not in target:
        return target
    path = Path(target)
    if path.name == MANIFEST:
        return str(path.parent)
    if path.parent == Path(REPORT).parent:
        return None if path.suffix else target
    if path.parts[0] == "reports" and len(path.parts) in (2, 3):
        return path.parts[1]
    return target


def _wanted(named: Named) -> list[Node]:
    """Return the planned results that a reference means; of what is in no plan, none."""
    if named.plan is None:
        return []
    if named.whole:
        return [named.plan.last]
    if named.runs:
        return [node for run in named.runs.values() for node in run]
    planned = named.plan.nodes
    return [planned[ref] for ref in named.refs if ref in planned]


# Counting


def walk(wanted: Iterable[Node], done: Callable[[Ref], bool]) -> tuple[Node, ...]:
    """Return these and what they need, in the flow's order; finished ones need nothing."""
    order: dict[Ref, Node] = {}

    def visit(node: Node) -> None:
        if node.ref not in order and not done(node.ref):
            for needed in node.upstream.values():
                visit(needed)
            order[node.ref] = node

    for node in wanted:
        visit(node)
    return tuple(order.values())


def everything(wanted: Iterable[Node]) -> tuple[Node, ...]:
    """Return these and all that they stand on, in the order of the flow."""
    return walk(wanted, lambda ref: False)


def sharing(runs: Iterable[Iterable[Node]]) -> Sharing:
    """Return what runs, each given by what it ends with, have in common."""
    serving = Counter(node.ref for run in runs for node in everything(run))
    several = [times for times in serving.values() if times > 1]
    return Sharing(len(several), sum(several) - len(several))


# Time


def span(missing: Collection[Node], seconds: Mapping[Ref, float], cores: int) -> float:
    """Return the seconds until all are made by so many cores.

    As Snakemake goes about it: whatever has all that it needs begins, in the order of the flow, as
    long as there are cores for it; a training takes several.
    """
    left = {node.ref: node for node in missing}
    waits = {node.ref: {n.ref for n in node.upstream.values()} & left.keys() for node in missing}
    running: list[tuple[float, str, Ref]] = []
    now, free = 0.0, cores
    while left or running:
        for ref in [ref for ref in left if not waits[ref]]:
            if (slots := _slots(ref, cores)) <= free:
                del left[ref]
                free -= slots
                heapq.heappush(running, (now + seconds[ref], str(ref), ref))
        now, _, done = heapq.heappop(running)
        free += _slots(done, cores)
        for others in waits.values():
            others.discard(done)
    return now


def _slots(ref: Ref, cores: int) -> int:
    return min(cores, training_slots(cores)) if STAGES[ref.stage].resources.is_parallel else 1


# For people


def lines(found: Workload, *, listed: bool = False) -> Iterator[str]:
    """Yield the workload in a few lines; with `listed`, each missing result as well."""
    yield found.target
    header = ("stage", "missing", "of", "time each", "disk each", "from")
    yield from table_lines(_rows(found), header, right=header[1:-1])
    if found.sharing and found.sharing.serving:
        yield (
            f"{counted(found.sharing.serving, 'result serves', 'results serve')} several runs; "
            "if each run made its own, "
            f"there would be {found.sharing.saved} more"
        )
    if found.missing:
        yield from _totals(found)
    elif any(node.ref not in found.complete for node in found.nodes):
        yield "nothing to make: what is missing, nothing needs"
    else:
        yield "complete: nothing to make"
    if listed and found.missing:
        labels = {node.ref: node.label for node in found.nodes}
        rows = [(str(ref), _seconds(e), labels[ref]) for ref, e in found.missing.items()]
        yield ""
        yield from table_lines(rows, ("missing", "time", "label"), right=("time",))


def _rows(found: Workload) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table: one for each stage, and one in all."""
    for stage in sorted({node.ref.stage for node in found.nodes}, key=place_of):
        total = sum(node.ref.stage == stage for node in found.nodes)
        estimates = [each for ref, each in found.missing.items() if ref.stage == stage]
        yield stage, str(len(estimates)), str(total), *_each(estimates)
    yield "in all", str(len(found.missing)), str(len(found.nodes)), "", "", ""


def _each(estimates: Collection[Estimate | None]) -> tuple[str, str, str]:
    """Return the time and disk of one of these results, and what both stand on."""
    if not estimates:
        return "", "", ""
    known = [each for each in estimates if each is not None]
    if not known:
        return UNKNOWN, UNKNOWN, "no run like it here"
    seconds = duration(median(each.seconds for each in known))
    n_bytes = size(round(median(each.n_bytes for each in known)))
    runs = len(frozenset[Ref]().union(*(each.runs for each in known)))
    basis = f"median of {runs} runs" if runs > 1 else "1 run"
    if unknown := len(estimates) - len(known):
        basis += f"; {unknown} unknown"
    return seconds, n_bytes, basis


def _totals(found: Workload) -> Iterator[str]:
    """Yield what all missing results take together, as far as that is known."""
    unknown = len(found.missing) - len(found.known)
    if not found.known:
        yield "time and disk are unknown, as no results like these were made here"
        return
    cores = counted(found.cores, "core")
    if unknown:
        yield (
            f"{len(found.known)} of {counted(len(found.missing), 'result')} known: "
            f"{duration(found.seconds)} on {cores}, {size(found.n_bytes)} in results/; time and "
            f"disk of {counted(unknown, 'other')} are unknown"
        )
    else:
        yield f"takes about {duration(found.seconds)} on {cores}, Snakemake's own start aside"
    if found.load > found.cores:
        yield f"longer beside other work here (its load is {found.load:.1f})"
    if not unknown:
        yield f"needs about {size(found.n_bytes)} in results/, and as much in DVC's cache"


def _seconds(estimate: Estimate | None) -> str:
    return duration(estimate.seconds) if estimate else UNKNOWN
