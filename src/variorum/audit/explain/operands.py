"""Hold the operands of a comparison, planned or finished, and find similar ones.

A `ResultIndex` reads each manifest once. Similarity is counted through an index, so a thousand
results take well under a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from variorum.audit.available import pinned
from variorum.config.canonical import with_omitted
from variorum.config.setting_layers import Place, leaves
from variorum.identity.spec import Ref, Spec
from variorum.plan.declared import CORPORA
from variorum.plan.experiment import Node
from variorum.stages.registry import STAGES
from variorum.store.records import missing_run_info
from variorum.store.result import CODE, RUN, Result, StoreError
from variorum.store.store import Store


@dataclass(frozen=True)
class Operand:
    """Hold one side of a comparison: planned, finished, or both."""

    spec: Spec
    index: ResultIndex = field(compare=False, repr=False)
    node: Node | None = field(default=None, compare=False, repr=False)
    result: Result | None = field(default=None, compare=False, repr=False)

    @cached_property
    def ref(self) -> Ref:
        """Return its name."""
        return self.result.ref if self.result else self.spec.ref

    @cached_property
    def run(self) -> Mapping[str, Any]:
        """Return how it was made; empty if unknown."""
        return self._noted(RUN) or (self.result.run if self.result else {})

    @property
    def label(self) -> str:
        """Return its label; empty if unknown."""
        return self.node.label if self.node else str(self.run.get("label", ""))

    def __str__(self) -> str:
        return " ".join(part for part in (self.ref.stage, self.label, self.ref.key) if part)

    @cached_property
    def leaves(self) -> dict[Place, Any]:
        """Return its settings by place, omitted ones included."""
        settings = dict(self.spec.settings)
        known = STAGES.get(self.spec.stage)
        return dict(leaves(with_omitted(known.settings, settings) if known else settings))

    @property
    def sources(self) -> Mapping[str, str]:
        """Return its recorded source code; empty if there is none."""
        if self.node:
            return self.node.code.sources
        return self._noted(CODE) or (self.result.code if self.result else {})

    def _noted(self, name: str) -> Mapping[str, Any]:
        """Return what records hold of a result that came without it."""
        found: Mapping[str, Any] = self.index.run_info.get(self.ref, {}).get(name, {})
        return found

    def upstream(self, name: str) -> Operand | None:
        """Return one of its inputs; None if that is neither planned nor here."""
        if self.node and name in self.node.upstream:  # a pinned result is planned without any
            return self.index.planned(self.node.upstream[name])
        return self.index.finished(self.spec.upstream[name])


class ResultIndex:
    """Hold the finished results of a project, each read once, when needed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._finished: dict[Ref, Operand | None] = {}
        self._stages: dict[str, list[Operand]] = {}
        self._likeness: dict[tuple[str, frozenset[str]], Likeness] = {}
        self.compared_code: dict[tuple[str, str, bool], Any] = {}
        """How two fingerprints differ: all results of theirs differ so."""

    @cached_property
    def run_info(self) -> dict[Ref, dict[str, Any]]:
        """Return what records tell of results that came without `run.json`."""
        with suppress(OSError):  # without it no diff of pulled results can be shown
            return dict(missing_run_info(self.store))
        return {}

    def planned(self, node: Node) -> Operand:
        """Return a planned node, with its result if it is finished."""
        found = self.finished(node.ref)
        return Operand(node.spec, self, node, found.result if found else None)

    def finished(self, ref: Ref) -> Operand | None:
        """Return a finished result; None if it is missing or unreadable."""
        if ref not in self._finished:
            try:
                self._finished[ref] = self.here(ref)
            except StoreError:
                self._finished[ref] = None
        return self._finished[ref]

    def here(self, ref: Ref) -> Operand:
        """Return a finished result; raises `StoreError` if it is missing or unreadable."""
        result = self.store.peek(ref)
        return Operand(result.spec, self, None, result)

    def of_stage(self, stage: str) -> list[Operand]:
        """Return the finished results of a stage, the earliest first."""
        if stage not in self._stages:
            found = [each for ref in self.store.refs(stage) if (each := self.finished(ref))]
            found.sort(key=lambda each: (str(each.run.get("begun", "")), each.ref))
            self._stages[stage] = found
        return self._stages[stage]

    def was_made(self, ref: Ref) -> bool:
        """Check for traces of a result: DVC's file, or results made from it."""
        return self.store.pin(ref).is_file() or ref in self._used

    def pinned(self, stage: str) -> int:
        """Count the missing results of a stage that DVC may restore."""
        return sum(self.finished(ref) is None for ref in pinned(self.store, stage))

    @cached_property
    def _used(self) -> set[Ref]:
        found = chain.from_iterable(map(self.of_stage, STAGES))
        return {ref for each in found for ref in each.spec.upstream.values()}

    def most_like(self, operand: Operand) -> Operand | None:
        """Return the most similar other finished result of its stage.

        It shares most settings, inputs and code; the latest wins a tie. Results of the same label,
        such as an experiment's name, come first. Results of another corpus are never compared.
        """
        others = {operand.label, ""} if operand.label in CORPORA else ()
        return self.namesake(operand) or self._likeness_of(operand, others).best(operand)

    def namesake(self, operand: Operand) -> Operand | None:
        """Return the most similar other finished result of its stage and label."""
        return self._likeness_of(operand, {operand.label}).best(operand)

    def _likeness_of(self, operand: Operand, labels: Collection[str]) -> Likeness:
        """Return the finished results of its stage with these labels; without any, all."""
        place = operand.ref.stage, frozenset(labels)
        if place not in self._likeness:
            alike = [e for e in self.of_stage(operand.ref.stage) if not labels or e.label in labels]
            self._likeness[place] = Likeness(alike)
        return self._likeness[place]

    def nearest(self, operand: Operand, nodes: list[Node]) -> Operand | None:
        """Return the most similar planned node of its stage; its label counts first."""
        planned = [self.planned(node) for node in nodes if node.ref.stage == operand.ref.stage]
        facts = set(_facts(operand))

        def likeness(other: Operand) -> tuple[bool, int]:
            return other.label == operand.label, len(facts & set(_facts(other)))

        return max(planned, key=likeness, default=None)


class Likeness:
    """Find the operand that shares most facts, apart from facts that all share."""

    def __init__(self, operands: list[Operand]) -> None:
        self._operands = operands
        places: dict[tuple[str, ...], list[int]] = {}
        for place, operand in enumerate(operands):
            for fact in _facts(operand):
                places.setdefault(fact, []).append(place)
        self._places = {fact: held for fact, held in places.items() if len(held) < len(operands)}

    def best(self, operand: Operand) -> Operand | None:
        """Return the other operand that shares most facts; the last wins a tie."""
        held = (self._places.get(fact, ()) for fact in _facts(operand))
        counts = Counter(chain.from_iterable(held))
        ranked = sorted(counts, key=lambda place: (-counts[place], -place))
        latest = range(len(self._operands) - 1, -1, -1)
        others = (self._operands[place] for place in chain(ranked, latest))
        return next((other for other in others if other.ref != operand.ref), None)


def _facts(operand: Operand) -> Iterator[tuple[str, ...]]:
    spec = operand.spec
    yield "label", operand.label
    yield "code", spec.code
    for name, ref in spec.upstream.items():
        yield "kind of input", name, ref.stage
        yield "input", name, ref.stage, ref.key
    for name, version in spec.libraries.items():
        yield "library", name, version
    for place, value in operand.leaves.items():
        yield "setting", *place, repr(value)
