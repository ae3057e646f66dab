"""Why a result is what it is, or must be made: differences, traced to their cause, in words.

`why` answers `variorum why A [B]`; `reason` is the same answer in a few words, which Snakemake
shows with each result that it makes. Here is decided what is compared with what; `differences`
finds the causes and `words` tells them.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from variorum import kept, library
from variorum.audit.reasons.differences import Cause, causes
from variorum.audit.reasons.sides import Shelf, Side, nearest
from variorum.audit.reasons.words import in_brief, in_few, in_lines, several
from variorum.components import PACKAGE
from variorum.config import STAGES
from variorum.errors import VariorumError
from variorum.experiments import (
    ablation_names,
    did_you_mean,
    load_ablation,
    load_experiment,
    named_experiment,
)
from variorum.plan import Node, Plan, plan_ablation, plan_experiment
from variorum.store import MANIFEST, Ref, Store
from variorum.tracking import put_back


@dataclass(frozen=True)
class Explanation:
    """What was compared, in a sentence, and the causes of the differences."""

    heading: str
    causes: tuple[Cause, ...] = ()

    def lines(self) -> Iterator[str]:
        """The explanation for people."""
        yield self.heading
        yield from in_lines(self.causes)


@dataclass(frozen=True)
class Named:
    """What a reference names.

    nodes: for an experiment or a run, all that it consists of, so that a result of another stage
    can be compared with its like. baseline: for a run of an ablation, what it is judged against.
    """

    side: Side
    nodes: tuple[Node, ...] = ()
    baseline: Side | None = None


def why(
    root: Path,
    first: str | None = None,
    second: str | None = None,
    overrides: dict[str, Any] | None = None,
    package: Path = PACKAGE,
) -> Explanation:
    """How the second differs from the first, or the first from what it would be compared with.

    `overrides` are settings of the current experiment from a command line, `package` is the folder
    of the code that is planned with. Raises `VariorumError` for a reference that names nothing, or
    several results.
    """
    project = _Project(root, overrides or {}, package)
    with suppress(OSError):  # without it no diff of pulled results can be shown
        put_back(project.shelf.store)
    one = project.named(first)
    if second is None:
        return _alone(project, one)
    return _compared(project, *_of_one_stage(one, project.named(second)))


def _alone(project: "_Project", named: Named) -> Explanation:
    side = named.side
    if not side.result:
        return _yet_to_be_made(project, named)
    if named.baseline and named.baseline.ref != side.ref:
        return _compared(project, named.baseline, side)
    if side.node and side.ref in project.current.nodes:
        return Explanation(
            f"{side} is finished, and it is what the current settings and code make: nothing "
            f"differs.{_advice(side)}"
        )
    now = nearest(side, list(project.current), side.shelf)
    if now is None:
        raise VariorumError(
            f"{side} is finished, and the current experiment makes no {side.ref.stage}; name a "
            "second result to compare it with"
        )
    return _compared(project, side, now)


def _advice(side: Side) -> str:
    other = side.shelf.most_like(side)
    if other is None:
        return ""
    return f" `variorum why {other.ref} {side.ref}` compares it with the one most like it."


def _yet_to_be_made(project: "_Project", named: Named) -> Explanation:
    side, shelf = named.side, named.side.shelf
    if shelf.was_made(side.ref):
        return Explanation(f"{side} was made, but {_how_gone(side)}")
    like = shelf.most_like(side)
    if like:
        return _compared(project, like, side)
    nothing = f"{side} is yet to be made, and nothing like it is here.{_to_pull(side)}"
    for node in reversed(named.nodes):
        planned = shelf.planned(node)
        if not planned.result and (like := shelf.most_like(planned)):
            found = _compared(project, like, planned)
            return Explanation(f"{nothing} {found.heading}", found.causes)
    return Explanation(nothing)


def _to_pull(side: Side) -> str:
    stage = side.ref.stage
    if not (number := side.shelf.pinned(stage)):
        return ""
    return f" DVC knows of {number} in results/{stage}; `dvc pull` brings those it has stored."


def _how_gone(side: Side) -> str:
    folder = side.shelf.store.folder(side.ref)
    shown = folder.relative_to(side.shelf.store.root).as_posix()
    if folder.with_name(f"{side.ref.key}.dvc").is_file():
        return f"its files are gone: `dvc pull {shown}.dvc` brings them back."
    return f"its files are gone from {shown}: the next run makes it again."


def _compared(project: "_Project", old: Side, new: Side) -> Explanation:
    if old.ref == new.ref:
        return Explanation(f"Nothing differs: both are {old}.")
    found = causes(old, new, project.guide, documents=True)
    return Explanation(f"{_with_state(new)} differs from {_with_state(old)}.", tuple(found))


def _with_state(side: Side) -> str:
    if not side.result:
        return f"{side} (yet to be made)"
    if not (adopted := side.result.adopted):
        return f"{side} (finished)"
    word = f", because {adopted['because']}" if "because" in adopted else ""
    return f"{side} (adopted from {adopted['from']}{word})"


def _of_one_stage(one: Named, other: Named) -> tuple[Side, Side]:
    """The two sides, after an experiment or a run was taken at the other's stage."""
    if one.side.ref.stage == other.side.ref.stage:
        return one.side, other.side
    if like := nearest(other.side, list(one.nodes), one.side.shelf):
        return like, other.side
    if like := nearest(one.side, list(other.nodes), other.side.shelf):
        return one.side, like
    raise VariorumError(
        f"{one.side.ref} and {other.side.ref} are results of different stages; name two of one"
    )


class _Project:
    """What references can name: results that are here, and what is planned."""

    def __init__(self, root: Path, overrides: dict[str, Any], package: Path) -> None:
        self.root = root
        self.overrides = overrides
        self.package = package
        self.shelf = Shelf(Store(root))

    @cached_property
    def current(self) -> Plan:
        """The plan of the current experiment."""
        return plan_experiment(
            load_experiment(self.root, self.overrides),
            self.root,
            offline=True,
            package=self.package,
        )

    @cached_property
    def guide(self) -> list[Node]:
        """Nodes of the current plan, if there can be one."""
        with suppress(VariorumError):
            return list(self.current)
        return []

    def ablation(self, name: str) -> Plan:
        """The plan of an ablation."""
        return plan_ablation(
            load_ablation(self.root, name), self.root, offline=True, package=self.package
        )

    def named(self, reference: str | None) -> Named:
        """What a reference names; raises `VariorumError` if that is nothing, or several results."""
        if reference is None:
            return self._of_plan(self.current)
        if (Path(reference) / MANIFEST).is_file():
            return self._at(Path(reference))
        first, *rest = reference.split("/")
        if reference in STAGES:
            return self._of_stage(reference)
        if not rest and (self.root / f"config/experiments/{reference}.yaml").is_file():
            loaded = named_experiment(self.root, reference)
            return self._of_plan(
                plan_experiment(loaded, self.root, offline=True, package=self.package)
            )
        if reference in (pins := kept.pins(self.root)):
            return Named(self._side(pins[reference]))
        if first in ablation_names(self.root) and len(rest) <= 2:
            return self._of_ablation(first, rest)
        return self._of_key(reference.removeprefix("results/").rstrip("/"), reference)

    def _of_plan(self, plan: Plan) -> Named:
        return Named(self.shelf.planned(plan.last), tuple(plan))

    def _at(self, folder: Path) -> Named:
        """The result in a folder, of whichever project."""
        store, ref = library.locate(folder)
        if store.root == self.root:
            return Named(self._side(ref))
        return Named(Shelf(store).here(ref))

    def _side(self, ref: Ref) -> Side:
        """A result that is here, with its node if it is part of the current plan."""
        for node in self.guide:
            if node.ref == ref:
                return self.shelf.planned(node)
        return self.shelf.here(ref)

    def _of_stage(self, stage: str) -> Named:
        nodes = self.current.of_stage(stage)
        if not nodes:
            raise VariorumError(f"{stage}: the current experiment makes none; name a result")
        return Named(self.shelf.planned(_only(stage, nodes)))

    def _of_ablation(self, name: str, rest: list[str]) -> Named:
        """`ablation`, its table; `ablation/variant/seed`, a model; without the seed, the first."""
        loaded = load_ablation(self.root, name)
        plan = plan_ablation(loaded, self.root, offline=True, package=self.package)
        if not rest:
            return self._of_plan(plan)
        variant, seed = rest[0], rest[1] if rest[1:] else str(loaded.settings.seeds[0])
        last = plan.last.upstream.get(f"{variant}/{seed}")
        if last is None:
            known = [f"{name}/{run}" for run in plan.last.upstream if run.count("/") == 1]
            raise VariorumError(
                f"{'/'.join([name, *rest])}: no such run; known are {several(known)}"
            )
        baseline = plan.last.upstream[f"{loaded.settings.baseline}/{seed}"]
        return Named(
            self.shelf.planned(last.upstream["model"]),
            tuple(_reachable(last)),
            self.shelf.planned(baseline.upstream["model"]),
        )

    def _of_key(self, name: str, reference: str) -> Named:
        """A result by the beginning of its key, finished or planned."""
        stage, _, start = name.rpartition("/")
        here = [ref for ref in self.shelf.store.refs(stage or None) if ref.key.startswith(start)]
        planned = {node.ref: node for node in self._planned_as(stage, start, self.guide)}
        if not here and not planned:
            plans = (self.ablation(name) for name in ablation_names(self.root))
            nodes = (node for plan in plans for node in plan)
            planned = {node.ref: node for node in self._planned_as(stage, start, nodes)}
        found = sorted({*here, *planned})
        if not found or not start:
            raise VariorumError(f"{reference}: {self._unknown(reference)}")
        if len(found) > 1:
            names = several([str(ref) for ref in found])
            raise VariorumError(f"{reference} names {len(found)} results ({names}); give one")
        ref = found[0]
        return Named(self.shelf.planned(planned[ref]) if ref in planned else self._side(ref))

    def _planned_as(self, stage: str, start: str, nodes: Any) -> Iterator[Node]:
        for node in nodes:
            if stage in ("", node.ref.stage) and node.ref.key.startswith(start):
                yield node

    def _unknown(self, reference: str) -> str:
        experiments = [path.stem for path in (self.root / "config/experiments").glob("*.yaml")]
        names = [*STAGES, *experiments, *ablation_names(self.root)]
        return (
            "no result, stage, experiment or ablation is called that;"
            f"{did_you_mean(reference, names)} `variorum ls` shows what is here"
        )


def _reachable(last: Node) -> list[Node]:
    """A node and all that it is made from."""
    found = {last.ref: last}
    for node in last.upstream.values():
        found |= {inner.ref: inner for inner in _reachable(node)}
    return list(found.values())


def _only(reference: str, nodes: list[Node]) -> Node:
    if len(nodes) == 1:
        return nodes[0]
    names = several([f"{node.ref}, {node.label}" for node in nodes], between="; ")
    raise VariorumError(f"{reference} names {len(nodes)} results ({names}); give one of them")


# In a few words, for Snakemake


def reason(node: Node, shelf: Shelf) -> str:
    """Why a planned result must be made, in one line."""
    side = shelf.planned(node)
    if side.result:
        return "it is here, and was asked for by force"
    if shelf.was_made(node.ref):
        return "its files are gone"
    missing = [above for above in node.upstream.values() if not shelf.finished(above.ref)]
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        return f"follows {missing[0].ref.stage} {in_brief(missing[0].ref)}{more}"
    like = shelf.most_like(side)
    if like is None:
        return f"nothing like it {'is here' if shelf.pinned(node.ref.stage) else 'was made before'}"
    return in_few(causes(like, side))
