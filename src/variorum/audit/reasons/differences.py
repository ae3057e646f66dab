"""How two results differ, and the causes of it: the first places where what made them differs.

Specs name what they are made from, so differences are walked from a pair of results up to the pairs
that they follow from. A cause is a difference that nothing further up explains: a setting, a piece
of code, a library's version, the bytes of a source. Where a result is absent the walk ends.
"""

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from variorum import components
from variorum.audit.reasons.sides import Side
from variorum.config.canonical import models_of, restored
from variorum.config.layers import DEFAULT, NOWHERE, Place
from variorum.config.types import field_metadata
from variorum.corpus.source import SOURCES, LocalSource
from variorum.errors import VariorumError
from variorum.fingerprint import ORDER, Part, kept_meanings, kept_parts
from variorum.plan import SIDES, Node
from variorum.stages.stage_settings import STAGES, DownloadStage
from variorum.store import Ref
from variorum.syntax import WHOLE

DOCUMENTS = "documents.jsonl"

HASHES: tuple[Place, ...] = (("source", "sha256"), ("imported", "sha256"))
COMMAND: Place = ("command",)
DOMAIN: Place = ("corpus", "domain")
DECIDE_INPUTS: set[Place] = {("tokenizer", "train_on"), ("rows",)}
"""Settings from which it follows which inputs there are."""

GIVEN = "given"


class _NotSet:
    def __repr__(self) -> str:
        return "not set"


NOT_SET = _NotSet()
"""In place of a value: this side has no such setting."""


@dataclass(frozen=True)
class Setting:
    """A setting with another value; `old_at` and `new_at` say where it was written, if known.

    derived: it only repeats what other settings say, as the command of a report does.
    """

    name: str
    old: Any
    new: Any
    old_at: str = ""
    new_at: str = ""
    derived: bool = False


@dataclass(frozen=True)
class Documents:
    """Which documents differ between two downloads."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


@dataclass(frozen=True)
class Bytes:
    """A source of text or a model with other bytes; `documents` if both sides are at hand."""

    setting: Setting
    documents: Documents | None = None


@dataclass(frozen=True)
class Library:
    """A library with another version, where versions are part of keys."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Edited:
    """A definition or file of package data whose text differs in what counts; "" if absent."""

    symbol: str
    old: str
    new: str


@dataclass(frozen=True)
class Moved:
    """A definition that stands under another name and is otherwise the same."""

    old: str
    new: str


@dataclass(frozen=True)
class Reached:
    """Definitions that an edit made part of the code, and those that are part of it no more."""

    gained: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True)
class Meaning:
    """A name that comes from another place of another library."""

    module: str
    name: str
    old: str
    new: str


@dataclass(frozen=True)
class Reordered:
    """A module whose statements run in another order."""

    module: str
    order: str


@dataclass(frozen=True)
class Unseen:
    """Code that differs in what the kept source cannot show."""

    kept: bool


@dataclass(frozen=True)
class Inputs:
    """An input that is another kind of result, or that one side lacks."""

    name: str
    old: Ref | None
    new: Ref | None


@dataclass(frozen=True)
class Absent:
    """A result that is needed to tell more; `pinned` if DVC can bring it."""

    ref: Ref
    pinned: bool


Code = Edited | Moved | Reached | Meaning | Reordered | Unseen

Difference = Setting | Bytes | Library | Inputs | Absent | Code


@dataclass(frozen=True)
class Step:
    """Two results of one stage that differ."""

    old: Side
    new: Side


@dataclass(frozen=True)
class Cause:
    """A difference that explains others: `chain` leads from what was asked to where it lies.

    also: other places of the same difference, such as stages that an edit reaches as well.
    """

    chain: tuple[Step, ...]
    difference: Difference
    also: tuple[Step, ...] = ()

    @property
    def step(self) -> Step:
        """Where it lies."""
        return self.chain[-1]


def causes(
    old: Side, new: Side, guide: Iterable[Node] = (), *, documents: bool = False
) -> list[Cause]:
    """All causes of the differences between two sides of one stage, shortest chains first.

    A difference that is in several places is told of the first stage of the flow that it is in.

    `guide` are planned nodes that tell where the settings of unplanned results would be written.
    With `documents` the documents of differing sources are compared, which reads them.
    """
    found: list[Cause] = []
    waiting: deque[tuple[Step, ...]] = deque()
    if old.ref != new.ref:
        waiting.append((Step(old, new),))
    seen = {(old.ref, new.ref)}
    while waiting:
        chain = waiting.popleft()
        step = chain[-1]
        found += [Cause(chain, difference) for difference in _own(step, guide, documents)]
        for name, (above, below) in _shared_inputs(step).items():
            if (above, below) in seen:
                continue
            seen.add((above, below))
            sides = step.old.upstream(name), step.new.upstream(name)
            if sides[0] and sides[1]:
                waiting.append((*chain, Step(sides[0], sides[1])))
            else:
                absent = [ref for ref, side in zip((above, below), sides, strict=True) if not side]
                found += [Cause(chain, _absent(step, ref)) for ref in absent]
    found = [cause for cause in found if not _is_derived(cause.difference)] or found
    return sorted(_told_once(found), key=lambda cause: (len(cause.chain), _in_flow(cause)))


def _told_once(found: list[Cause]) -> Iterator[Cause]:
    """Each difference at the earliest of its places."""
    while found:
        same = [cause for cause in found if cause.difference == found[0].difference]
        found = [cause for cause in found if cause.difference != found[0].difference]
        first, *others = sorted(same, key=lambda cause: (_in_flow(cause), len(cause.chain)))
        yield Cause(first.chain, first.difference, tuple(other.step for other in others))


def _in_flow(cause: Cause) -> int:
    stage = cause.step.new.ref.stage
    return list(STAGES).index(stage) if stage in STAGES else len(STAGES)


def _is_derived(difference: Difference) -> bool:
    return isinstance(difference, Setting) and difference.derived


def _shared_inputs(step: Step) -> dict[str, tuple[Ref, Ref]]:
    """Inputs of both sides that differ and can be compared."""
    old, new = step.old.spec.upstream, step.new.spec.upstream
    return {
        name: (old[name], ref)
        for name, ref in new.items()
        if name in old and old[name] != ref and old[name].stage == ref.stage
    }


def _absent(step: Step, ref: Ref) -> Absent:
    store = step.new.shelf.store
    return Absent(ref, store.pin(ref).is_file())


def _own(step: Step, guide: Iterable[Node], documents: bool) -> list[Difference]:
    """How the two differ by themselves, apart from what they are made from."""
    places = _changed(step)
    written = _places(step, guide)
    found: list[Difference] = [_setting(step, place, written) for place in places]
    for at, place in enumerate(places):
        if place in HASHES:
            setting = _setting(step, place, written)
            found[at] = Bytes(setting, _documents(step) if documents else None)
    chosen = any(_chooses_component(step.new.ref.stage, place) for place in places)
    return [*found, *_libraries(step), *_code(step, chosen), *_inputs(step, places)]


# Settings


def _changed(step: Step) -> list[Place]:
    old, new = step.old.leaves, step.new.leaves
    return [
        place
        for place in dict.fromkeys([*new, *old])
        if _spelled(old.get(place, NOT_SET)) != _spelled(new.get(place, NOT_SET))
    ]


def _spelled(value: Any) -> str:
    """A value as text, in which 1 and 1.0 differ, and the order of keys makes no difference."""
    return json.dumps(value, sort_keys=True, default=repr)


def _setting(step: Step, place: Place, written: Mapping[str, Place]) -> Setting:
    section, *rest = place
    return Setting(
        ".".join((*written.get(section, (section,)), *rest)),
        step.old.leaves.get(place, NOT_SET),
        step.new.leaves.get(place, NOT_SET),
        _origin(step.old, place),
        _origin(step.new, place),
        derived=place == COMMAND,
    )


def _origin(side: Side, place: Place) -> str:
    """Where a planned side's setting was written; of a hash, where its source was."""
    if side.node is None or place[0] not in side.node.places or place not in side.leaves:
        return ""
    written = (*side.node.places[place[0]], *place[1:])
    return side.node.layers.origin(written) if place in HASHES else _written_at(side, written)


def _written_at(side: Side, place: Place) -> str:
    if side.node is None or side.node.layers is NOWHERE:
        return ""
    return side.node.layers.origins.get(place, DEFAULT)


def _places(step: Step, guide: Iterable[Node]) -> Mapping[str, Place]:
    """Where in an experiment the sections of these settings stand."""
    for side in (step.new, step.old):
        if side.node and side.node.places:
            return side.node.places
    label = step.new.label
    for node in guide:
        is_like = node.label not in SIDES or node.label == label
        if node.ref.stage == step.new.ref.stage and is_like:
            return node.places
    return {}


def _chooses_component(stage: str, place: Place) -> bool:
    """Whether the setting names one of several files of code."""
    models = [STAGES[stage]] if stage in STAGES else []
    for section in place[:-1]:
        fields = [model.model_fields[section] for model in models if section in model.model_fields]
        models = [inner for field in fields for inner in models_of(field.annotation)]
    fields = [model.model_fields[place[-1]] for model in models if place[-1] in model.model_fields]
    return any("component" in field_metadata(field) for field in fields)


def _libraries(step: Step) -> Iterator[Difference]:
    old, new = step.old.spec.libraries, step.new.spec.libraries
    if bool(old) != bool(new):
        place = ("strict_libraries",)
        at = _written_at(step.old, place), _written_at(step.new, place)
        yield Setting("strict_libraries", bool(old), bool(new), *at)
        return
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield Library(name, old.get(name), new.get(name))


# Inputs that only one side has, or that another stage made


def _inputs(step: Step, changed: list[Place]) -> Iterator[Difference]:
    old, new = step.old.spec.upstream, step.new.spec.upstream
    for name in sorted(old.keys() & new.keys()):
        if old[name].stage != new[name].stage:
            yield Inputs(name, old[name], new[name])
    single = sorted(old.keys() ^ new.keys())
    if not single or DECIDE_INPUTS & set(changed):
        return
    if all("domain" in name or "finetuned" in name for name in single):
        values = [GIVEN if "text_domain" in refs else None for refs in (old, new)]
        origins = [_written_at(side, DOMAIN) for side in (step.old, step.new)]
        yield Setting(".".join(DOMAIN), values[0], values[1], origins[0], origins[1])
        return
    for name in single:
        yield Inputs(name, old.get(name), new.get(name))


# Code


def _code(step: Step, chosen: bool) -> list[Difference]:
    """Differences of code; equal for all pairs of these fingerprints, and found once for them."""
    old, new = step.old.spec.code, step.new.spec.code
    if old == new:
        return []
    known = step.new.shelf.compared_code
    if (old, new, chosen) not in known:
        differences = code_differences(step.old.sources, step.new.sources, chosen=chosen)
        known[old, new, chosen] = differences
    found: list[Difference] = known[old, new, chosen]
    return found


def code_differences(
    old: Mapping[str, str], new: Mapping[str, str], *, chosen: bool = False
) -> list[Difference]:
    """How two kept sources, whose fingerprints differ, differ in what counts.

    With `chosen`, a setting chose another component, so what only one of them holds is no cause.
    """
    if not old or not new:
        return [] if chosen else [Unseen(kept=False)]
    try:
        before, after = kept_parts(old), kept_parts(new)
    except SyntaxError:  # of another Python's
        return [Unseen(kept=True)]
    shared = before.keys() & after.keys()
    edited: list[Difference] = [
        Edited(name, before[name].text, after[name].text)
        for name in sorted(shared)
        if before[name].syntax != after[name].syntax
    ]
    edited += _meanings(old, new)
    if chosen:
        return edited
    lost = {name: before[name] for name in sorted(before.keys() - shared)}
    gained = {name: after[name] for name in sorted(after.keys() - shared)}
    found = [*edited, *_one_sided(lost, gained, edited=bool(edited))]
    return found or list(_reordered(old, new)) or [Unseen(kept=True)]


def _one_sided(
    lost: Mapping[str, Part], gained: Mapping[str, Part], *, edited: bool
) -> Iterator[Difference]:
    """What only one side holds: moved, or in full if no edit explains that it came or went."""
    moved = list(
        _moved(
            {name: part.syntax for name, part in lost.items()},
            {name: part.syntax for name, part in gained.items()},
        )
    )
    yield from moved
    left = [name for name in lost if name not in {pair.old for pair in moved}]
    came = [name for name in gained if name not in {pair.new for pair in moved}]
    if not edited:
        yield from (Edited(name, lost[name].text, "") for name in left)
        yield from (Edited(name, "", gained[name].text) for name in came)
    elif left or came:
        yield Reached(tuple(came), tuple(left))


def _moved(lost: Mapping[str, str], gained: Mapping[str, str]) -> Iterator[Moved]:
    """Pairs of definitions with the same syntax, where that leaves no choice."""
    for old, syntax in sorted(lost.items()):
        homes = [new for new, other in gained.items() if other == syntax]
        if len(homes) == 1 and list(lost.values()).count(syntax) == 1:
            yield Moved(old, homes[0])


def _meanings(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Meaning]:
    """Names that stand for something else; those of one side alone follow from an edit."""
    before, after = kept_meanings(old), kept_meanings(new)
    for module in sorted(before.keys() & after.keys()):
        for name in sorted((before[module].keys() & after[module].keys()) - {ORDER}):
            if before[module][name] != after[module][name]:
                texts = (_meant(names[module][name]) for names in (before, after))
                yield Meaning(module, name, *texts)


def _meant(names: set[str]) -> str:
    """The imports that give a name its meanings."""
    parts = (name.partition(":") for name in sorted(names))
    return " and ".join(
        f"`from {module} import {name}`" if name not in ("", WHOLE) else f"`import {module}`"
        for module, _, name in parts
    )


def _reordered(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Reordered]:
    """Where statements run in another order; with other edits the order differs because of them."""
    before, after = kept_meanings(old), kept_meanings(new)
    for module in sorted(before.keys() & after.keys()):
        order = after[module].get(ORDER, set())
        if order != before[module].get(ORDER, set()):
            yield Reordered(module, ", ".join(sorted(order)))


# Bytes of a source


def _documents(step: Step) -> Documents | None:
    """Which documents differ; None unless both sides are at hand."""
    old, new = (_hashes(side) for side in (step.old, step.new))
    if old is None or new is None:
        return None
    return Documents(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
    )


def _hashes(side: Side) -> dict[str, str] | None:
    """Hash of each document: of those downloaded, or of files that lie here still."""
    from variorum.corpus import documents
    from variorum.corpus.fetching import context_of

    downloaded = side.result.folder / DOCUMENTS if side.result else None
    with suppress(VariorumError, ValidationError):
        if downloaded and downloaded.is_file():
            found = documents.read(downloaded)
        else:
            source = restored(DownloadStage, dict(side.spec.settings)).source
            if not isinstance(source, LocalSource):
                return None
            context = context_of(side.shelf.store.root, lambda text: None)
            found = components.load(SOURCES, source.kind).fetch(source, context)
        return {
            document.id: hashlib.sha256(
                f"{document.group}\0{document.text}".encode("utf-8", "surrogatepass")
            ).hexdigest()
            for document in found
        }
    return None
