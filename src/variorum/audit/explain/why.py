"""Why a result is what it is, or must be made: differences, traced to their cause, in words.

`why` answers `variorum why A [B]`; `reason` is the same answer in a few words, which Snakemake
shows with each result that it makes. Here is decided what is compared with what; `differences`
finds the causes and `words` tells them.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from variorum.audit.explain.differences import Cause, causes
from variorum.audit.explain.operands import Shelf, Side, nearest
from variorum.audit.explain.wording import in_brief, in_few, in_lines
from variorum.components import PACKAGE
from variorum.engines.tracking import put_back
from variorum.errors import VariorumError
from variorum.plan import Node, Plan
from variorum.references import Named, References
from variorum.store import Ref


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
class Subject:
    """What is asked about.

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
    one = project.subject(first)
    if second is None:
        return _alone(project, one)
    return _compared(project, *_of_one_stage(one, project.subject(second)))


def _alone(project: "_Project", subject: Subject) -> Explanation:
    side = subject.side
    if not side.result:
        return _yet_to_be_made(project, subject)
    if subject.baseline and subject.baseline.ref != side.ref:
        return _compared(project, subject.baseline, side)
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


def _yet_to_be_made(project: "_Project", subject: Subject) -> Explanation:
    side, shelf = subject.side, subject.side.shelf
    if shelf.was_made(side.ref):
        return Explanation(f"{side} was made, but {_how_gone(side)}")
    like = shelf.most_like(side)
    if like:
        return _compared(project, like, side)
    nothing = f"{side} is yet to be made, and nothing like it is here.{_to_pull(side)}"
    for node in reversed(subject.nodes):
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
    if side.shelf.store.pin(side.ref).is_file():
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


def _of_one_stage(one: Subject, other: Subject) -> tuple[Side, Side]:
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
        self.references = References(root, overrides, package)
        self.shelf = Shelf(self.references.store)

    @property
    def current(self) -> Plan:
        """The plan of the current experiment."""
        return self.references.current

    @cached_property
    def guide(self) -> list[Node]:
        """Nodes of the current plan, if there can be one."""
        with suppress(VariorumError):
            return list(self.current)
        return []

    def subject(self, reference: str | None) -> Subject:
        """What a reference names; raises `VariorumError` if that is nothing, or several results.

        A variant stands for its first run, an experiment or ablation for what it ends with.
        """
        named = self.references.named(reference)
        plan = named.plan
        if plan and named.whole:
            return Subject(self.shelf.planned(plan.last), tuple(plan))
        if plan and named.runs:
            run, read = next(iter(named.runs.items()))
            baseline = f"{plan.last.spec.settings['baseline']}/{run.rpartition('/')[2]}"
            models = [plan.last.upstream[f"{each}/model"] for each in (run, baseline)]
            model, judged_against = map(self.shelf.planned, models)
            return Subject(model, tuple(_reachable(read)), judged_against)
        return Subject(self._side(named))

    def _side(self, named: Named) -> Side:
        """One result, with its node if it is planned."""
        ref = named.one()
        if named.store.root != self.shelf.store.root:
            return Shelf(named.store).here(ref)
        nodes = named.plan or self.guide
        node = next((node for node in nodes if node.ref == ref), None)
        return self.shelf.planned(node) if node else self.shelf.here(ref)


def _reachable(nodes: Iterable[Node]) -> list[Node]:
    """These nodes and all that they are made from."""
    found: dict[Ref, Node] = {}
    for node in nodes:
        found[node.ref] = node
        found |= {inner.ref: inner for inner in _reachable(node.upstream.values())}
    return list(found.values())


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
