"""Find how two results differ: the first differences in what made them.

Specs name their inputs, so differences are followed from a pair of results up to the pairs above. A
cause is a difference that nothing further up explains: a setting, code, a library's version, the
bytes of a source. The walk ends where a result is absent.
"""

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from variorum.audit.explain.operands import Operand
from variorum.audit.explain.wording import NOT_SET, change, value_text
from variorum.base import components
from variorum.base.errors import VariorumError, several
from variorum.config.canonical import restored
from variorum.config.setting_checks import models_at
from variorum.config.setting_layers import DEFAULT, NOWHERE, Place
from variorum.config.types import field_metadata
from variorum.corpus.source import SOURCES, LocalSource
from variorum.identity.code_changes import Difference, code_differences
from variorum.identity.spec import KEY_LENGTH, Ref
from variorum.plan.declared import CORPORA
from variorum.plan.experiment import Node
from variorum.stages.download import DownloadStage
from variorum.stages.registry import STAGES, place_of

DOCUMENTS = "documents.jsonl"

HASHES: tuple[Place, ...] = (("source", "sha256"), ("imported", "sha256"))
COMMAND = "command"
"""Setting of reports and tables that repeats other settings."""

DOMAIN: Place = ("corpus", "domain")
STRICT: Place = ("strict_libraries",)
DECIDE_INPUTS: set[Place] = {("tokenizer", "train_on"), ("rows",)}
"""Settings from which it follows which inputs there are."""


@dataclass(frozen=True)
class Setting(Difference):
    """Describe a setting with another value, and where both were written.

    A library whose version is part of keys is such a setting, too.
    """

    name: str
    old: Any
    new: Any
    old_at: str = ""
    new_at: str = ""

    def __str__(self) -> str:
        return f"{self.name} {change(self.old, self.new)}{self.origins}"

    @property
    def origins(self) -> str:
        """Return where both values were written, in parentheses."""
        if self.old_at and not self.new_at:
            return f" (before: {self.old_at})"
        origins = list(dict.fromkeys(filter(None, (self.old_at, self.new_at))))
        return f" ({' -> '.join(origins)})" if origins else ""


@dataclass(frozen=True)
class Bytes(Difference):
    """Describe a source of text or a model with other bytes.

    documents: the `added`, `removed` and `changed` ones; empty unless both sides are available.
    """

    setting: Setting
    documents: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __str__(self) -> str:
        source = self.setting.name.removesuffix(".sha256")
        values = (self.setting.old, self.setting.new)
        hashes = " -> ".join(f"{value_text(value)[:KEY_LENGTH]}…" for value in values)
        return f"the bytes of {source}, sha256 {hashes}{self.setting.origins}"

    def details(self) -> Iterator[str]:
        """Yield how many documents differ, and some of their names."""
        for what, names in self.documents:
            if names:
                yield f"{len(names)} {what}: {several(names)}"


@dataclass(frozen=True)
class Inputs(Difference):
    """Describe an input of another stage, or one that only one result has."""

    name: str
    old: Ref | None
    new: Ref | None

    def __str__(self) -> str:
        return f"{self.name} is {self.new or 'no input'} instead of {self.old or 'none'}"


@dataclass(frozen=True)
class Absent(Difference):
    """Describe a missing result that hides further differences; `pinned` if DVC has it."""

    ref: Ref
    pinned: bool

    def __str__(self) -> str:
        pull = f": `dvc pull results/{self.ref}.dvc` restores it"
        hint = pull if self.pinned else ", nor pinned by DVC"
        return f"{self.ref} differs, but is not here, so the cause is unknown{hint}"


@dataclass(frozen=True)
class ResultPair:
    """Hold two results of one stage that differ."""

    old: Operand
    new: Operand


@dataclass(frozen=True)
class Cause:
    """Hold a difference that explains others, and the chain that leads to it.

    also: other places of the same difference, such as stages that an edit reaches too.
    """

    chain: tuple[ResultPair, ...]
    difference: Difference
    also: tuple[ResultPair, ...] = ()


def causes(
    old: Operand, new: Operand, guide: Iterable[Node] = (), *, documents: bool = False
) -> list[Cause]:
    """Return all causes of the differences between two results of one stage.

    The shortest chains come first; a difference in several places is reported at the earliest
    stage. `guide` are planned nodes that show where settings would be written. With `documents` the
    documents of differing sources are read and compared.
    """
    found: list[Cause] = []
    waiting: deque[tuple[ResultPair, ...]] = deque()
    if old.ref != new.ref:
        waiting.append((ResultPair(old, new),))
    seen = {(old.ref, new.ref)}
    while waiting:
        chain = waiting.popleft()
        step = chain[-1]
        found += [Cause(chain, difference) for difference in _own(step, guide, documents)]
        before = step.old.spec.upstream
        for name, below in step.new.spec.upstream.items():
            above = before.get(name, below)
            if above.stage != below.stage or above == below or (above, below) in seen:
                continue
            seen.add((above, below))
            pair = step.old.upstream(name), step.new.upstream(name)
            if pair[0] and pair[1]:
                waiting.append((*chain, ResultPair(pair[0], pair[1])))
            store = step.new.index.store
            for ref, operand in zip((above, below), pair, strict=True):
                if operand is None:
                    found.append(Cause(chain, Absent(ref, store.pin(ref).is_file())))
    found = [cause for cause in found if not _repeats(cause)] or found
    return sorted(_once_each(found), key=lambda cause: (len(cause.chain), _in_flow(cause)))


def _repeats(cause: Cause) -> bool:
    """Check whether a cause only repeats other settings."""
    return isinstance(cause.difference, Setting) and cause.difference.name == COMMAND


def _once_each(found: list[Cause]) -> Iterator[Cause]:
    """Yield each difference once, at the earliest of its places."""
    while found:
        same = [cause for cause in found if cause.difference == found[0].difference]
        found = [cause for cause in found if cause.difference != found[0].difference]
        first, *others = sorted(same, key=lambda cause: (_in_flow(cause), len(cause.chain)))
        yield Cause(first.chain, first.difference, tuple(other.chain[-1] for other in others))


def _in_flow(cause: Cause) -> int:
    return place_of(cause.chain[-1].new.ref.stage)


def _own(step: ResultPair, guide: Iterable[Node], documents: bool) -> Iterator[Difference]:
    """Yield how two results differ by themselves, apart from their inputs."""
    changed = _changed(step)
    sections = _places(step, guide)
    for place in changed:
        section, *rest = place
        setting = Setting(
            ".".join((*sections.get(section, (section,)), *rest)),
            *(operand.leaves.get(place, NOT_SET) for operand in (step.old, step.new)),
            *(_origin(operand, place) for operand in (step.old, step.new)),
        )
        if place not in HASHES:
            yield setting
        else:
            yield Bytes(setting, _documents(step) if documents else ())
    chosen = any(_chooses_component(step.new.ref.stage, place) for place in changed)
    yield from _libraries(step)
    yield from _code(step, chosen)
    yield from _inputs(step, changed)


# Settings


def _changed(step: ResultPair) -> list[Place]:
    old, new = step.old.leaves, step.new.leaves
    return [
        place
        for place in dict.fromkeys([*new, *old])
        if _spelled(old.get(place, NOT_SET)) != _spelled(new.get(place, NOT_SET))
    ]


def _spelled(value: Any) -> str:
    """Return a value as text: 1 is not 1.0, the order of names is ignored."""
    return json.dumps(value, sort_keys=True, default=repr)


def _origin(operand: Operand, place: Place) -> str:
    """Return where a planned setting was written; of a hash, where its source was."""
    node = operand.node
    if node is None or place[0] not in node.places or place not in operand.leaves:
        return ""
    written = (*node.places[place[0]], *place[1:])
    return node.layers.origin(written) if place in HASHES else _written_at(operand, written)


def _written_at(operand: Operand, place: Place) -> str:
    if operand.node is None or operand.node.layers is NOWHERE:
        return ""
    return operand.node.layers.origins.get(place, DEFAULT)


def _places(step: ResultPair, guide: Iterable[Node]) -> Mapping[str, Place]:
    """Return where the sections of these settings stand in an experiment."""
    for operand in (step.new, step.old):
        if operand.node and operand.node.places:
            return operand.node.places
    for node in guide:
        is_like = node.label not in CORPORA or node.label == step.new.label
        if node.ref.stage == step.new.ref.stage and is_like:
            return node.places
    return {}


def _by_itself(step: ResultPair, place: Place, old: Any, new: Any) -> Setting:
    """Return a setting that no spec holds, by its place in the experiment."""
    return Setting(
        ".".join(place), old, new, *(_written_at(each, place) for each in (step.old, step.new))
    )


def _chooses_component(stage: str, place: Place) -> bool:
    """Check whether a setting chooses a component."""
    models = models_at(STAGES[stage].settings, place[:-1]) if stage in STAGES else []
    fields = [model.model_fields[place[-1]] for model in models if place[-1] in model.model_fields]
    return any("component" in field_metadata(field) for field in fields)


def _libraries(step: ResultPair) -> Iterator[Difference]:
    old, new = step.old.spec.libraries, step.new.spec.libraries
    if bool(old) != bool(new):
        yield _by_itself(step, STRICT, bool(old), bool(new))
        return
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            values = (versions.get(name, "none") for versions in (old, new))
            yield Setting(f"library {name}", *values)


def _inputs(step: ResultPair, changed: list[Place]) -> Iterator[Difference]:
    """Yield inputs that only one result has, or that another stage made."""
    old, new = step.old.spec.upstream, step.new.spec.upstream
    for name in sorted(old.keys() & new.keys()):
        if old[name].stage != new[name].stage:
            yield Inputs(name, old[name], new[name])
    single = sorted(old.keys() ^ new.keys())
    if not single or DECIDE_INPUTS & set(changed):
        return
    if all("domain" in name or "finetuned" in name for name in single):
        given = ["given" if any("domain" in name for name in refs) else None for refs in (old, new)]
        yield _by_itself(step, DOMAIN, *given)
        return
    yield from (Inputs(name, old.get(name), new.get(name)) for name in single)


def _code(step: ResultPair, chosen: bool) -> list[Difference]:
    """Return differences of code, computed once for each pair of fingerprints."""
    old, new = step.old.spec.code, step.new.spec.code
    if old == new:
        return []
    known = step.new.index.compared_code
    if (old, new, chosen) not in known:
        differences = code_differences(step.old.sources, step.new.sources, chosen=chosen)
        known[old, new, chosen] = differences
    found: list[Difference] = known[old, new, chosen]
    return found


# Bytes of a source


def _documents(step: ResultPair) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return which documents differ; empty unless both sides are available."""
    old, new = (_hashes(operand) for operand in (step.old, step.new))
    if old is None or new is None:
        return ()
    both = sorted(old.keys() & new.keys())
    return (
        ("added", tuple(sorted(new.keys() - old.keys()))),
        ("removed", tuple(sorted(old.keys() - new.keys()))),
        ("changed", tuple(name for name in both if old[name] != new[name])),
    )


def _hashes(operand: Operand) -> dict[str, str] | None:
    """Hash each downloaded document, or the documents of local files."""
    from variorum.corpus import documents
    from variorum.corpus.fetch_context import context_of

    downloaded = operand.result.folder / DOCUMENTS if operand.result else None
    with suppress(VariorumError, ValidationError):
        if downloaded and downloaded.is_file():
            found = documents.read(downloaded)
        else:
            source = restored(DownloadStage, dict(operand.spec.settings)).source
            if not isinstance(source, LocalSource):
                return None
            context = context_of(operand.index.store.root, lambda text: None)
            found = components.load(SOURCES, source.kind).fetch(source, context)
        return {
            document.id: hashlib.sha256(
                f"{document.group}\0{document.text}".encode("utf-8", "surrogatepass")
            ).hexdigest()
            for document in found
        }
    return None
