"""What can be compared: planned nodes and finished results, and which of them are most alike.

A `Shelf` reads each manifest of a project once. It answers for a thousand results in well under a
second, because what is alike is counted through an index instead of pair by pair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from variorum.config.canonical import with_neutrals
from variorum.config.layers import Place
from variorum.plan import SIDES, Node
from variorum.stages.stage_settings import STAGES
from variorum.store import Ref, Result, Spec, Store, StoreError

Leaves = dict[Place, Any]


@dataclass(frozen=True)
class Side:
    """One side of a comparison: something planned, something finished, or both at once."""

    spec: Spec
    shelf: Shelf = field(compare=False, repr=False)
    node: Node | None = field(default=None, compare=False, repr=False)
    result: Result | None = field(default=None, compare=False, repr=False)

    @cached_property
    def ref(self) -> Ref:
        """Its name."""
        return self.result.ref if self.result else self.spec.ref

    @cached_property
    def run(self) -> Mapping[str, Any]:
        """How it was made; empty if that was not kept, or it was not made."""
        return self.result.run if self.result else {}

    @property
    def label(self) -> str:
        """What people call it; empty if nobody knows."""
        return self.node.label if self.node else str(self.run.get("label", ""))

    def __str__(self) -> str:
        return " ".join(part for part in (self.ref.stage, self.label, self.ref.key) if part)

    @cached_property
    def leaves(self) -> Leaves:
        """Its settings by place, those at their neutral value included."""
        settings = dict(self.spec.settings)
        known = STAGES.get(self.spec.stage)
        return dict(_leaves(with_neutrals(known, settings) if known else settings, ()))

    @property
    def sources(self) -> Mapping[str, str]:
        """The source of what makes it, as fingerprints keep it; empty if that was not kept."""
        return self.node.code.sources if self.node else self.result.code if self.result else {}

    def upstream(self, name: str) -> Side | None:
        """What it is made from; None if that is neither planned nor here."""
        if self.node and name in self.node.upstream:  # a kept result is planned without any
            return self.shelf.planned(self.node.upstream[name])
        return self.shelf.finished(self.spec.upstream[name])


def _leaves(settings: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*place, name))
        else:
            yield (*place, name), value


class Shelf:
    """The finished results of a project, each read once, when it is asked for."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._sides: dict[Ref, Side | None] = {}
        self._stages: dict[str, list[Side]] = {}
        self._indexes: dict[tuple[str, str], Likeness] = {}
        self.compared_code: dict[tuple[str, str, bool], Any] = {}
        """What `differences` found between two fingerprints: every result of theirs differs so."""

    def planned(self, node: Node) -> Side:
        """A planned node, with its result if it is finished."""
        side = self.finished(node.ref)
        return Side(node.spec, self, node, side.result if side else None)

    def finished(self, ref: Ref) -> Side | None:
        """A finished result; None if it is not here or cannot be read."""
        if ref not in self._sides:
            try:
                self._sides[ref] = self.here(ref)
            except StoreError:
                self._sides[ref] = None
        return self._sides[ref]

    def here(self, ref: Ref) -> Side:
        """A finished result; raises `StoreError` that says why if it cannot be read."""
        result = self.store.glance(ref)
        return Side(result.spec, self, None, result)

    def of_stage(self, stage: str) -> list[Side]:
        """The finished results of a stage, in the order of when they were made."""
        if stage not in self._stages:
            found = (self.finished(ref) for ref in self.store.refs(stage))
            self._stages[stage] = sorted(
                (side for side in found if side),
                key=lambda side: (str(side.run.get("begun", "")), side.ref),
            )
        return self._stages[stage]

    def was_made(self, ref: Ref) -> bool:
        """Whether there is a trace of a result: DVC's file, or a result that was made from it."""
        return self.store.pin(ref).is_file() or ref in self._used

    def pinned(self, stage: str) -> int:
        """How many results of a stage are not here, though DVC may bring them."""
        files = self.store.root.glob(f"results/{stage}/*.dvc")
        return sum(self.finished(Ref(stage, file.stem)) is None for file in files)

    @cached_property
    def _used(self) -> set[Ref]:
        sides = chain.from_iterable(map(self.of_stage, STAGES))
        return {ref for side in sides for ref in side.spec.upstream.values()}

    def most_like(self, side: Side) -> Side | None:
        """The other finished result of its stage that most settings, inputs and code agree with.

        Of equals the one made last. What belongs to one corpus is compared with its like alone.
        """
        stage = side.ref.stage
        corpus = side.label if side.label in SIDES else ""
        if (stage, corpus) not in self._indexes:
            alike = [
                other for other in self.of_stage(stage) if not corpus or other.label in (corpus, "")
            ]
            self._indexes[stage, corpus] = Likeness(alike)
        return self._indexes[stage, corpus].best(side)


class Likeness:
    """An index of the facts that sides share; what all of them share tells nothing."""

    def __init__(self, sides: list[Side]) -> None:
        self._sides = sides
        self._places = {side.ref: place for place, side in enumerate(sides)}
        holding: dict[tuple[str, ...], list[int]] = {}
        for place, side in enumerate(sides):
            for fact in _facts(side):
                holding.setdefault(fact, []).append(place)
        self._holding = {fact: held for fact, held in holding.items() if len(held) < len(sides)}

    def best(self, side: Side) -> Side | None:
        """The one that shares most facts with `side` and is another one; of equals the last."""
        held = (self._holding.get(fact, ()) for fact in _facts(side))
        counts = Counter(chain.from_iterable(held))
        itself = self._places.get(side.ref)
        if itself is not None:
            counts.pop(itself, None)
        if counts:
            most = max(counts.values())
            return self._sides[max(place for place, count in counts.items() if count == most)]
        others = [other for other in self._sides[-2:] if other.ref != side.ref]
        return others[-1] if others else None


def _facts(side: Side) -> Iterator[tuple[str, ...]]:
    spec = side.spec
    yield "label", side.label
    yield "code", spec.code
    for name, ref in spec.upstream.items():
        yield "kind of input", name, ref.stage
        yield "input", name, ref.stage, ref.key
    for name, version in spec.libraries.items():
        yield "library", name, version
    for place, value in side.leaves.items():
        yield "setting", *place, repr(value)


def nearest(side: Side, nodes: list[Node], shelf: Shelf) -> Side | None:
    """The planned node of a side's stage that is most like it: of its label first."""
    planned = [shelf.planned(node) for node in nodes if node.ref.stage == side.ref.stage]
    facts = set(_facts(side))

    def likeness(other: Side) -> tuple[bool, int]:
        return other.label == side.label, len(facts & set(_facts(other)))

    return max(planned, key=likeness, default=None)
