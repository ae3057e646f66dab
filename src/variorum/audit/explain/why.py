"""Explain why a result is what it is, or must be made: differences, traced to their cause.

`why` answers `variorum why A [B]`; `reason` is the same answer in a few words, which Snakemake
shows with each result that it makes. This module decides what is compared with what;
`differences` finds the causes.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from variorum.audit.explain.differences import Cause, ResultPair, causes
from variorum.audit.explain.operands import Operand, ResultIndex
from variorum.base.components import PACKAGE
from variorum.base.errors import VariorumError, several
from variorum.identity.spec import KEY_LENGTH, Ref
from variorum.plan.experiment import Node, Plan
from variorum.plan.references import References

FEW = 2
"""How many causes `reason` tells."""


@dataclass(frozen=True)
class Explanation:
    """What was compared, in a sentence, and the causes of the differences."""

    heading: str
    causes: tuple[Cause, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield the explanation for people: causes below the results that they are in."""
        yield self.heading
        for chain, here in groupby(self.causes, key=lambda cause: cause.chain):
            *after, last = chain
            then = ", ".join(_called(step) for step in reversed(after))
            yield ""
            yield (
                f"{_called(last)}, {last.old.ref.key} -> {last.new.ref.key}"
                f"{', then ' if then else ''}{then}:"
            )
            for cause in here:
                also = several(dict.fromkeys(map(_called, cause.also)))
                yield f"  {cause.difference}{', also in ' if also else ''}{also}"
                yield from (f"    {line}".rstrip() for line in cause.difference.details())


def _called(step: ResultPair) -> str:
    return " ".join(filter(None, (step.new.ref.stage, step.new.label or step.old.label)))


@dataclass(frozen=True)
class Inquiry:
    """What is asked about.

    nodes: for an experiment or a run, all that it consists of, so that a result of another stage
    can be compared with its like. baseline: for a run of an ablation, what it is judged against.
    """

    operand: Operand
    nodes: tuple[Node, ...] = ()
    baseline: Operand | None = None


def why(
    root: Path,
    first: str | None = None,
    second: str | None = None,
    overrides: dict[str, Any] | None = None,
    package: Path = PACKAGE,
) -> Explanation:
    """Explain how the second differs from the first, or the first from its natural counterpart.

    `overrides` are settings of the current experiment from a command line, `package` is the folder
    of the code that is planned with. Raises `VariorumError` for a reference that names nothing, or
    several results.
    """
    project = _Project(root, overrides or {}, package)
    one = project.question(first)
    if second is not None:
        return project.compared(*_of_one_stage(one, project.question(second)))
    operand = one.operand
    if not operand.result:
        return _yet_to_be_made(project, one)
    if one.baseline and one.baseline.ref != operand.ref:
        return project.compared(one.baseline, operand)
    if operand.node and operand.ref in project.current.nodes:
        heading = f"{operand} is finished, and it is what the current settings and code make: "
        heading += "nothing differs."
        if other := operand.index.most_like(operand):
            command = f"variorum why {other.ref} {operand.ref}"
            heading += f" `{command}` compares it with the one most like it."
        return Explanation(heading)
    now = operand.index.nearest(operand, list(project.current))
    if now is None:
        raise VariorumError(
            f"{operand} is finished, and the current experiment makes no {operand.ref.stage}; name "
            "a second result to compare it with"
        )
    return project.compared(operand, now)


def _yet_to_be_made(project: "_Project", question: Inquiry) -> Explanation:
    operand, index = question.operand, question.operand.index
    ref, stage = operand.ref, operand.ref.stage
    if index.was_made(ref):
        how = f" from results/{ref}: the next run makes it again"
        if index.store.pin(ref).is_file():
            how = f": `dvc pull results/{ref}.dvc` brings them back"
        return Explanation(f"{operand} was made, but its files are gone{how}.")
    if like := index.most_like(operand):
        return project.compared(like, operand)
    nothing = f"{operand} is yet to be made, and nothing like it is here."
    if number := index.pinned(stage):
        pull = "`dvc pull` brings those it has stored"
        nothing += f" DVC knows of {number} in results/{stage}; {pull}."
    for node in reversed(question.nodes):
        planned = index.planned(node)
        if not planned.result and (like := index.most_like(planned)):
            found = project.compared(like, planned)
            return Explanation(f"{nothing} {found.heading}", found.causes)
    return Explanation(nothing)


def _with_state(operand: Operand) -> str:
    if not operand.result:
        return f"{operand} (yet to be made)"
    if not (adopted := operand.result.adopted):
        return f"{operand} (finished)"
    word = f", because {adopted['because']}" if "because" in adopted else ""
    return f"{operand} (adopted from {adopted['from']}{word})"


def _of_one_stage(one: Inquiry, other: Inquiry) -> tuple[Operand, Operand]:
    """Return both operands, after an experiment or a run was taken at the other's stage."""
    first, second = one.operand, other.operand
    if first.ref.stage == second.ref.stage:
        return first, second
    if like := first.index.nearest(second, list(one.nodes)):
        return like, second
    if like := second.index.nearest(first, list(other.nodes)):
        return first, like
    raise VariorumError(
        f"{first.ref} and {second.ref} are results of different stages; name two of one"
    )


class _Project:
    """What references can name: results that are here, and what is planned."""

    def __init__(self, root: Path, overrides: dict[str, Any], package: Path) -> None:
        self.references = References(root, overrides, package)
        self.index = ResultIndex(self.references.store)

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

    def compared(self, old: Operand, new: Operand) -> Explanation:
        """Explain how two results of one stage differ."""
        if old.ref == new.ref:
            return Explanation(f"Nothing differs: both are {old}.")
        found = causes(old, new, self.guide, documents=True)
        return Explanation(f"{_with_state(new)} differs from {_with_state(old)}.", tuple(found))

    def question(self, reference: str | None) -> Inquiry:
        """Return what a reference names; raises `VariorumError` for nothing or several results.

        A variant stands for its first run, an experiment or ablation for what it ends with.
        """
        named = self.references.named(reference)
        plan = named.plan
        if plan and named.whole:
            return Inquiry(self.index.planned(plan.last), tuple(plan))
        if plan and named.runs:
            run, read = next(iter(named.runs.items()))
            baseline = f"{plan.last.spec.settings['baseline']}/{run.rpartition('/')[2]}"
            models = [plan.last.upstream[f"{each}/model"] for each in (run, baseline)]
            model, judged_against = map(self.index.planned, models)
            return Inquiry(model, tuple(_reachable(read)), judged_against)
        ref = named.one()
        if named.store.root != self.index.store.root:
            return Inquiry(ResultIndex(named.store).here(ref))
        node = next((node for node in plan or self.guide if node.ref == ref), None)
        return Inquiry(self.index.planned(node) if node else self.index.here(ref))


def _reachable(nodes: Iterable[Node]) -> list[Node]:
    """Return these nodes and all that they are made from."""
    found: dict[Ref, Node] = {}
    for node in nodes:
        found[node.ref] = node
        found |= {inner.ref: inner for inner in _reachable(node.upstream.values())}
    return list(found.values())


# In a few words, for Snakemake


def reason(node: Node, index: ResultIndex) -> str:
    """Explain in one line why a planned result must be made."""
    operand = index.planned(node)
    if operand.result:
        return "it is here, and was asked for by force"
    if index.was_made(node.ref):
        return "its files are gone"
    missing = [above.ref for above in node.upstream.values() if not index.finished(above.ref)]
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        return f"follows {_in_brief(missing[0])}{more}"
    like = index.most_like(operand)
    if like is None:
        return f"nothing like it {'is here' if index.pinned(node.ref.stage) else 'was made before'}"
    return _in_few(causes(like, operand))


def _in_few(found: Sequence[Cause]) -> str:
    """Tell the nearest causes in part of a line."""
    if not found:
        return "it differs from all that was made before"
    chain = found[0].chain
    nearest = [str(cause.difference) for cause in found if cause.chain == chain]
    more = f"; and {len(nearest) - FEW} more" if len(nearest) > FEW else ""
    follows = f"follows {_in_brief(chain[-1].new.ref)}: " if len(chain) > 1 else ""
    return f"{follows}{'; '.join(nearest[:FEW])}{more}"


def _in_brief(ref: Ref) -> str:
    """Return a stage and the beginning of a key."""
    return f"{ref.stage} {ref.key[: KEY_LENGTH // 2]}…"
