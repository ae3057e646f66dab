"""What a command would run, before it runs: which results, about how long, and how much disk.

A target is what Snakemake takes, or a reference. What is missing is what Snakemake would make for
it: results that are not here, and that nothing finished stands between.
"""

import heapq
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from variorum.engines.tracking import holds
from variorum.engines.workflow import training_slots
from variorum.forecasts.estimates import (
    GUESS,
    MADE,
    SCALED,
    TIMED,
    Estimate,
    Estimates,
)
from variorum.machine import TRAINING_PROCESSES, Device
from variorum.paces import CHARACTERS
from variorum.plan import REPORT, Node
from variorum.references import Named, References
from variorum.report.numbers import size
from variorum.stages.stage_settings import STAGES, TRAININGS
from variorum.store import MANIFEST, Ref

AROUND_SECONDS = 6.0
"""Of Snakemake itself, to plan, and to hand to DVC what was made."""


@dataclass(frozen=True)
class Sharing:
    """What runs have in common.

    serving: results that several runs need. saved: results that there would be besides if each run
    made its own.
    """

    serving: int
    saved: int


@dataclass(frozen=True)
class Forecast:
    """What there is to do for a target, and what it costs.

    nodes: all that the target stands on, in the order of the flow. complete: what is here of it.
    missing: what would be made, with what each result costs. seconds: from beginning to end.
    sharing: None where there are no runs to compare. load: processes that want a core just now.
    """

    target: str
    nodes: tuple[Node, ...]
    complete: frozenset[Ref]
    missing: Mapping[Ref, Estimate]
    seconds: float
    cores: int
    sharing: Sharing | None = None
    guesses_vocabulary: bool = False
    load: float = 0.0

    @property
    def n_bytes(self) -> int:
        """What the missing results take on the disk."""
        return sum(estimate.n_bytes for estimate in self.missing.values())


def forecast(
    root: Path,
    target: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    cores: int | None = None,
    device: Device = "cpu",
) -> Forecast:
    """What `target` takes with so many cores, by default all that are here.

    Raises `VariorumError` if nothing is called that, or it cannot be planned.
    """
    references = References(root, overrides)
    named = references.named(reference_of(target))
    load = os.getloadavg()[0]
    granted = cores or len(os.sched_getaffinity(0))
    wanted = _wanted(named)
    needed = everything(wanted)
    here = cache(holds(references.store))
    missing = walk(wanted, here)
    estimates = Estimates(references.store, min(granted, TRAINING_PROCESSES), device)
    costs = estimates.of(missing)
    return Forecast(
        target or REPORT,
        needed,
        frozenset(node.ref for node in needed if here(node.ref)),
        {node.ref: costs[node.ref] for node in missing},
        span(missing, costs, granted) + AROUND_SECONDS if missing else 0.0,
        granted,
        sharing(named.runs.values()) if len(named.runs) > 1 else None,
        estimates.guesses_vocabulary,
        load,
    )


def reference_of(target: str | None) -> str | None:
    """The reference that means what Snakemake would make for `target`."""
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
    """The planned results that a reference means; of what is here and in no plan, none."""
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
    """These and what they need, in the order of the flow; what is done needs nothing."""
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
    """These and all that they stand on, in the order of the flow."""
    return walk(wanted, lambda ref: False)


def sharing(runs: Iterable[Iterable[Node]]) -> Sharing:
    """What runs, each given by what it ends with, have in common."""
    serving = Counter(node.ref for run in runs for node in everything(run))
    several = [times for times in serving.values() if times > 1]
    return Sharing(len(several), sum(several) - len(several))


# Time


def span(missing: Collection[Node], costs: Mapping[Ref, Estimate], cores: int) -> float:
    """Seconds until all are made by so many cores.

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
                heapq.heappush(running, (now + costs[ref].seconds, str(ref), ref))
        now, _, done = heapq.heappop(running)
        free += _slots(done, cores)
        for others in waits.values():
            others.discard(done)
    return now


def _slots(ref: Ref, cores: int) -> int:
    return min(cores, training_slots(cores)) if ref.stage in TRAININGS else 1


# For people


def lines(found: Forecast, *, listed: bool = False) -> Iterator[str]:
    """The forecast in a few lines; with `listed`, each missing result as well."""
    yield found.target
    yield from _table(list(_rows(found)))
    if found.sharing and found.sharing.serving:
        yield (
            f"  {found.sharing.serving} results serve several runs; if each run made its own, "
            f"there would be {found.sharing.saved} more"
        )
    if not found.missing:
        yield (
            "  nothing to make: what is missing, nothing needs"
            if _absent(found)
            else ("  complete: nothing to make")
        )
        return
    cores = f"{found.cores} cores" if found.cores > 1 else "1 core"
    yield f"  takes about {duration(found.seconds)} on {cores}"
    if found.load > found.cores:
        yield f"  longer while other work goes on here (its load is {found.load:.1f})"
    yield f"  needs about {size(found.n_bytes)} in results/, and as much in DVC's cache"
    if found.guesses_vocabulary:
        yield f"  the text decides the vocabulary; {CHARACTERS} characters are assumed"
    if listed:
        yield from _listed(found)


def _absent(found: Forecast) -> bool:
    return any(node.ref not in found.complete for node in found.nodes)


def _rows(found: Forecast) -> Iterator[tuple[str, ...]]:
    yield "stage", "missing", "of", "each", ""
    stages = list(STAGES)
    for stage in sorted({node.ref.stage for node in found.nodes}, key=stages.index):
        total = sum(node.ref.stage == stage for node in found.nodes)
        costs = [each for ref, each in found.missing.items() if ref.stage == stage]
        each = duration(median(cost.seconds for cost in costs)) if costs else ""
        yield stage, str(len(costs)), str(total), each, "; ".join(_bases(costs))
    missing, total = len(found.missing), len(found.nodes)
    yield "in all", str(missing), str(total), "", ""


def _bases(costs: Iterable[Estimate]) -> Iterator[str]:
    """What estimates stand on, in words: `from 12 made here`."""
    evidence: dict[str, set[str]] = {}
    for cost in costs:
        evidence.setdefault(cost.basis, set()).update(cost.evidence)
    for basis in (MADE, SCALED, TIMED):
        if basis in evidence:
            yield f"from {len(evidence[basis])} {basis}"
    if GUESS in evidence:
        yield GUESS


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Aligned columns: the first and the last to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *numbers, last in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(numbers, widths[1:-1], strict=True)]
        yield "  ".join([f"  {first:<{widths[0]}}", *cells, last]).rstrip()


def _listed(found: Forecast) -> Iterator[str]:
    labels = {node.ref: node.label for node in found.nodes}
    yield "missing"
    for ref, cost in found.missing.items():
        yield f"  {ref!s:<24} {duration(cost.seconds):>8}  {labels[ref]}"


def duration(seconds: float) -> str:
    """A span of time with two digits, as far as it is known: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s"
    if seconds < 99.5 * 60:
        return f"{_two_digits(seconds / 60)} min"
    return f"{_two_digits(seconds / 3600)} h"


def _two_digits(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
