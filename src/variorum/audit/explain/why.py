"""Explain why two results differ, or why one must be made.

`why` answers `variorum why A [B]`; `reason` is the short form that Snakemake shows. This module
decides what is compared; `differences` finds the causes.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from shlex import join
from typing import Any

from variorum.audit.available import closure
from variorum.audit.explain.differences import Cause, ResultPair, causes
from variorum.audit.explain.operands import Operand, ResultIndex
from variorum.base.components import PACKAGE
from variorum.base.errors import VariorumError, several
from variorum.config.yaml_text import in_yaml
from variorum.identity.spec import KEY_LENGTH, Ref
from variorum.plan.experiment import Node
from variorum.plan.references import References

FEW = 2
"""How many causes `reason` names."""


@dataclass(frozen=True)
class Explanation:
    """Hold what was compared, in a sentence, and the causes of the differences."""

    heading: str
    causes: tuple[Cause, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield the explanation for people: causes below their results."""
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
    """Hold what a reference asks about.

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
    """Explain how two results differ, by default the first and its counterpart.

    `overrides` change settings of the current experiment; `package` is the code to plan with.
    Raises `VariorumError` for a reference that names nothing or several results.
    """
    project = _Project(root, overrides or {}, package)
    one = project.question(first)
    if second is not None:
        return project.compared(*_of_one_stage(one, project.question(second)))
    operand = one.operand
    if not operand.result:
        return _yet_to_be_made(project, one, named=first is not None)
    if one.baseline and one.baseline.ref != operand.ref:
        return project.compared(one.baseline, operand)
    if operand.node and operand.ref in project.references.current.nodes:
        said = f"{operand} is finished, and matches the current settings and code: nothing differs."
        if other := operand.index.most_like(operand):
            command = project.comparing(other, operand)
            said += f" `{command}` compares it with the most similar one."
        return Explanation(said)
    now = operand.index.nearest(operand, list(project.references.current))
    if now is None:
        raise VariorumError(
            f"{operand} is finished, and the current experiment makes no {operand.ref.stage}; name "
            "a second result to compare it with"
        )
    return project.compared(operand, now)


def _yet_to_be_made(project: "_Project", question: Inquiry, *, named: bool) -> Explanation:
    """Compare what is missing with the most similar result.

    Unless a reference named it, only with results of the same experiment.
    """
    operand, index = question.operand, question.operand.index
    ref, stage = operand.ref, operand.ref.stage
    if index.was_made(ref):
        how = f" from results/{ref}: the next run makes it again"
        if index.store.pin(ref).is_file():
            how = f": `dvc pull results/{ref}.dvc` restores them"
        return Explanation(f"{operand} was made, but its files are missing{how}.")
    similar = index.most_like(operand)
    if similar and (named or similar.label == operand.label):
        return project.compared(similar, operand)
    lacking = f"no earlier {stage} of {operand.label}" if similar else "nothing similar"
    nothing = f"{operand} is not made yet, and {lacking} is here."
    if number := index.pinned(stage):
        pull = "`dvc pull -R results` restores the stored ones"
        nothing += f" DVC knows of {number} in results/{stage}; {pull}."
    for node in reversed(question.nodes):
        planned = index.planned(node)
        like = index.most_like(planned)
        same = like and like.label == planned.label == operand.label
        if like and not planned.result and (named or same):
            found = project.compared(like, planned)
            return Explanation(f"{nothing} {found.heading}", found.causes)
    if similar:
        command = project.comparing(similar, operand)
        nothing += f" `{command}` compares it with the most similar one, {similar}."
    return Explanation(nothing)


def _with_state(operand: Operand) -> str:
    if not operand.result:
        return f"{operand} (not made yet)"
    if not (adopted := operand.result.adopted):
        return f"{operand} (finished)"
    word = f", because {adopted['because']}" if "because" in adopted else ""
    return f"{operand} (adopted from {adopted['from']}{word})"


def _of_one_stage(one: Inquiry, other: Inquiry) -> tuple[Operand, Operand]:
    """Return both operands at one stage: an experiment or run follows the other's."""
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
    """Find what references name: results and planned nodes."""

    def __init__(self, root: Path, overrides: dict[str, Any], package: Path) -> None:
        self.overrides = overrides
        self.references = References(root, overrides, package)
        self.index = ResultIndex(self.references.store)

    @cached_property
    def guide(self) -> list[Node]:
        """Return the nodes of the current plan; none if it cannot be planned."""
        with suppress(VariorumError):
            return list(self.references.current)
        return []

    def comparing(self, old: Operand, new: Operand) -> str:
        """Return the command that compares two results, with the settings that were given."""
        words = ["variorum", "why", str(old.ref), str(new.ref)]
        for name, value in self.overrides.items():
            words += ["--config", f"{name}={in_yaml(value)}"]
        return join(words)

    def compared(self, old: Operand, new: Operand) -> Explanation:
        """Explain how two results of one stage differ."""
        if old.ref == new.ref:
            return Explanation(f"Nothing differs: both are {old}.")
        found = causes(old, new, self.guide, documents=True)
        return Explanation(f"{_with_state(new)} differs from {_with_state(old)}.", tuple(found))

    def question(self, reference: str | None) -> Inquiry:
        """Return what a reference names; raises `VariorumError` for nothing or several results.

        A variant stands for its first run, an experiment or ablation for its last result.
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
            inputs = {node.ref: [e.ref for e in node.upstream.values()] for node in plan}
            refs = closure((node.ref for node in read), inputs.get)
            return Inquiry(model, tuple(n for n in plan if n.ref in refs), judged_against)
        ref = named.one()
        if named.store.root != self.index.store.root:
            return Inquiry(ResultIndex(named.store).here(ref))
        node = next((node for node in plan or self.guide if node.ref == ref), None)
        return Inquiry(self.index.planned(node) if node else self.index.here(ref))


# In a few words, for Snakemake


def reason(node: Node, index: ResultIndex) -> str:
    """Explain in one line why a planned result must be made."""
    operand = index.planned(node)
    if operand.result:
        return "it is here; its rerun was forced"
    if index.was_made(node.ref):
        return "its files are missing"
    missing = [above.ref for above in node.upstream.values() if not index.finished(above.ref)]
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        return f"follows {_in_brief(missing[0])}{more}"
    like = index.most_like(operand)
    if like is None:
        return f"nothing similar {'is here' if index.pinned(node.ref.stage) else 'was made before'}"
    return _in_few(causes(like, operand))


def _in_few(found: Sequence[Cause]) -> str:
    """Return the nearest causes as part of a line."""
    if not found:
        return "it differs from all earlier results"
    chain = found[0].chain
    nearest = [str(cause.difference) for cause in found if cause.chain == chain]
    more = f"; and {len(nearest) - FEW} more" if len(nearest) > FEW else ""
    follows = f"follows {_in_brief(chain[-1].new.ref)}: " if len(chain) > 1 else ""
    return f"{follows}{'; '.join(nearest[:FEW])}{more}"


def _in_brief(ref: Ref) -> str:
    """Return a stage and the beginning of a key."""
    return f"{ref.stage} {ref.key[: KEY_LENGTH // 2]}…"
