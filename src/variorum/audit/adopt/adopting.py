"""Let old results serve new keys after an edit that changed only fingerprints.

For each missing planned result, an old one with the same settings and input bytes is found. Then a
proof shows that the present code makes the same (`replay`, `old_code`), or a person answers for it.
Only then are the files copied under the new keys, with the evidence in their manifests.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from variorum.audit.adopt.candidates import BECAUSE, PROVED, CandidateSearch, Match
from variorum.audit.adopt.old_code import compare_tiny
from variorum.audit.adopt.replay import Evidence, evidence
from variorum.audit.available import closure
from variorum.audit.scratch import ADOPTIONS
from variorum.base import machine
from variorum.base.components import PACKAGE
from variorum.base.counts import counted
from variorum.base.errors import Stopped, VariorumError
from variorum.base.machine import Machine
from variorum.base.platforms import platform_differences
from variorum.base.progress import Progress
from variorum.identity.spec import Ref
from variorum.plan.current_code import current_code
from variorum.plan.experiment import Node, Plan
from variorum.plan.references import References
from variorum.stages.registry import BUNDLING, TRAININGS
from variorum.store.restoring import restore_results
from variorum.store.result import Result, StoreError, manifest_digest
from variorum.store.store import Store

SAME = "the code is the same, and so is every byte that it was made from"
"""Proof enough: the same code makes the same of the same."""

NOT_ADOPTED = "Nothing was adopted; a normal run makes new results beside the old ones"
NOTHING = "nothing was adopted"


@dataclass(frozen=True)
class Adopted:
    """Hold the outcome of an adoption.

    results: each with the label of what it serves. left: planned results without an old one, each
    with the reason.
    """

    results: tuple[tuple[Result, str], ...]
    left: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield the outcome for people."""
        for result, label in self.results:
            record = result.adopted or {}
            how = f"on your word: {record['because']}" if record["how"] == BECAUSE else "proved"
            yield f"{result.ref!s:<24} {label}  from {record['from']}, {how}"
        yield from (f"not adopted: {line}" for line in self.left)
        yield f"{counted(len(self.results), 'result')} adopted; the next run makes what is missing"


def adopt(
    root: Path,
    references: Iterable[str] = (),
    *,
    because: str | None = None,
    here: Machine | None = None,
    package: Path = PACKAGE,
) -> Adopted:
    """Adopt old results for what `references` name and everything made from it.

    Default: the current experiment. `because` adopts on a person's word, without proofs. `package`
    is the source to plan with. Raises `VariorumError`, with nothing adopted, if nothing can be, a
    setting differs or a proof fails; `Stopped`, with the progress so far, if interrupted.
    """
    if because is not None and not (because := " ".join(because.split())):
        raise VariorumError('--because: say why nothing changed, as in --because "renamed only"')
    store, adoption, progress = Store(root), None, Progress("adopt")
    try:
        wanted = _wanted(store, list(references), package)
        with ADOPTIONS.held(store, progress) as scratch:
            adoption = _Adoption(store, wanted, scratch, here or Machine(), progress, package)
            return adoption.run(because)
    except (KeyboardInterrupt, Stopped):
        far = adoption.how_far() if adoption else NOTHING
        raise Stopped(f"stopped; {far}") from None


# Requests


@dataclass(frozen=True)
class _Wanted:
    """Hold planned nodes in the order of the flow, except pages.

    required: requested nodes and their inputs; the others are made from them. exact: nodes
    requested one by one, not as part of an experiment or ablation.
    """

    nodes: dict[Ref, Node]
    required: frozenset[Ref]
    exact: frozenset[Ref]


def _wanted(store: Store, references: Sequence[str | None], package: Path) -> _Wanted:
    known = References(store.root, package=package)
    asked = [_asked(known, reference) for reference in references or [None]]
    restore_results(store, [plan.last for plan, _ in asked])
    planned = [node for plan, _ in asked for node in plan]
    named = set().union(*(refs or plan.nodes for plan, refs in asked))
    results = [node for node in planned if node.ref.stage not in BUNDLING]
    inputs = {node.ref: [needed.ref for needed in node.upstream.values()] for node in planned}
    chosen = closure(_hanging(results, named), inputs.get)
    return _Wanted(
        {node.ref: node for node in results if node.ref in chosen},
        closure(named, inputs.get),
        frozenset().union(*(refs for _, refs in asked)),
    )


def _asked(known: References, reference: str | None) -> tuple[Plan, set[Ref]]:
    """Return the plan of a reference, and the nodes it names; none means all."""
    named = known.named(reference)
    plan = named.plan or known.current
    if named.whole:
        return plan, set()
    runs = {node.ref for read in named.runs.values() for node in read}
    refs = {*named.refs, *runs} & plan.nodes.keys()
    if not refs:
        raise VariorumError(
            f"{reference}: the current experiment makes no such result; name one that `variorum "
            "config` shows as missing, or an experiment, an ablation, or a run of one"
        )
    return plan, refs


def _hanging(nodes: list[Node], named: set[Ref]) -> set[Ref]:
    """Return the named nodes and everything made from them."""
    found = set(named)
    for node in nodes:
        if any(needed.ref in found for needed in node.upstream.values()):
            found.add(node.ref)
    return found


# The adoption


@dataclass
class _Adoption:
    """Run one adoption, from the search to the last published result."""

    store: Store
    wanted: _Wanted
    scratch: Path
    here: Machine
    progress: Progress
    package: Path

    def __post_init__(self) -> None:
        self.search = CandidateSearch(self.store, self.wanted.nodes)
        self.matches = self.search.matches

    def run(self, because: str | None) -> Adopted:
        """Prove everything, then adopt; raises `VariorumError` before anything is published."""
        left = self._left_out()
        for match in self.matches.values():
            _refuse_damaged(match.old)
        proofs = self._proofs(because is None)
        self._refuse_new_edits()
        results = []
        for ref, match in self.matches.items():
            result = self._publish(match, _record(match.old, proofs.get(ref), because))
            if result.adopted is not None:  # else it was made meanwhile
                results.append((result, match.node.label))
        return Adopted(tuple(results), left)

    def how_far(self) -> str:
        """Return how many of the results are published."""
        number = sum(map(self.store.exists, self.matches))
        if not number:
            return NOTHING
        of = counted(len(self.matches), "result was", "results were")
        far = f"{number} of {of} adopted"
        return far if number == len(self.matches) else f"{far}; the same command continues"

    def _left_out(self) -> tuple[str, ...]:
        """Return what cannot be adopted, and why.

        Raises `VariorumError` if it was requested by name, its settings differ, or nothing remains.
        """
        reasons, nodes = self.search.reasons, self.wanted.nodes
        refused = [ref for ref in self.search.differing if ref in self.wanted.required]
        refused += [ref for ref in reasons if ref in self.wanted.exact]
        ready = ", ".join(dict.fromkeys(ref.stage for ref in self.matches))
        if not ready:
            refused += reasons
        if refused:
            first = refused[0]
            rest = f", or name what to adopt without it: {ready}" if ready else ""
            raise VariorumError(
                f"{nodes[first]} cannot be adopted: {reasons[first]}. {NOT_ADOPTED}{rest}"
            )
        if not ready:
            raise VariorumError("nothing to adopt: every planned result except pages is here")
        return tuple(f"{nodes[ref]}: {reason}" for ref, reason in reasons.items())

    # Proofs

    def _proofs(self, edited_too: bool) -> dict[Ref, Evidence]:
        """Return evidence for every match; without `edited_too`, only for unedited code."""
        found = {}
        for ref, match in self.matches.items():
            if match.same_code:
                found[ref] = Evidence((SAME,))
            elif edited_too:
                self.progress.say(f"{match.node}: compares this code with {match.old.ref}")
                found[ref] = self._replayed(match)
        edited = {ref: match.old for ref, match in self.matches.items() if not match.same_code}
        trained = [ref for ref in found if ref in edited and ref.stage in TRAININGS]
        partly = [ref for ref in trained if not found[ref].complete]
        if not partly:
            return found
        olds, at = [match.old for match in self.matches.values()], self.scratch / "tiny"
        find, progress = self.search.find, self.progress
        try:
            line = compare_tiny(self.store, edited.values(), olds, find, at, progress, self.package)
        except VariorumError as error:
            raise VariorumError(f"{error}. {NOT_ADOPTED}") from None
        return found | {ref: Evidence((*found[ref].lines, line)) for ref in partly}

    def _replayed(self, match: Match) -> Evidence:
        node = match.node
        inputs = {name: self._input(needed.ref) for name, needed in node.upstream.items()}
        folder = self.scratch / str(node.ref)
        progress = Progress(f"adopt {node.ref.stage} {node.label}")
        try:
            return evidence(self.store, node.spec, inputs, match.old, folder, self.here, progress)
        except Stopped:
            raise
        except VariorumError as error:
            raise VariorumError(f"{node}: {error}{_elsewhere(match)}. {NOT_ADOPTED}") from None

    def _input(self, ref: Ref) -> Result:
        return self.matches[ref].old if ref in self.matches else self.store.open(ref)

    def _refuse_new_edits(self) -> None:
        """Raise `VariorumError` if the code was edited since the plan was made."""
        for node in (match.node for match in self.matches.values() if not match.node.version):
            code = current_code(node.spec, self.package)
            if code is None or code.digest != node.spec.code:
                raise VariorumError(
                    f"the code of {node.ref.stage} was edited meanwhile; nothing was adopted. Run "
                    "the same command again"
                )

    # Publishing

    def _publish(self, match: Match, adopted: Mapping[str, Any]) -> Result:
        """Publish an old result's files under the new key."""
        node, store = match.node, self.store
        waiting = f"{node} waits for the process that is making it"
        with store.locked(node.ref, lambda: self.progress.say(waiting)):
            output = store.scratch(node.ref) / "output"
            shutil.rmtree(output, ignore_errors=True)
            for name in match.old.manifest["files"]:
                (output / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(match.old.folder / name, output / name)
            inputs = {name: store.open(needed.ref) for name, needed in node.upstream.items()}
            at, facts = datetime.now(UTC).isoformat(timespec="seconds"), machine.description()
            note = {"at": at, "host": facts["host"], "command": facts["command"]}
            run = {**match.old.run, "label": node.label, "adopted": note}
            varying = {"run.json": run, "code.json": node.code.sources}
            return store.publish(node.spec, output, inputs, varying, adopted)


def _refuse_damaged(old: Result) -> None:
    """Raise `StoreError` unless every byte of the old result is what its manifest says."""
    if name := old.damaged_file():
        raise StoreError(
            f"{old.ref} cannot be adopted: its {name} is missing or not what its manifest says; "
            "`variorum verify` shows more"
        )


def _elsewhere(match: Match) -> str:
    """Return a remark if the old result was made on another platform."""
    used = match.node.code.libraries
    names = ", ".join(platform_differences(match.old.run, machine.description(), used))
    said = "it was made on another platform, where bits differ for that alone"
    return f" ({said}: {names})" if names else ""


def _record(old: Result, proof: Evidence | None, because: str | None) -> dict[str, Any]:
    """Return what the manifest says of an adoption; it names the original.

    A word that an earlier adoption rests on stays, unless everything was computed again.
    """
    before = old.adopted or {}
    if proof and proof.complete:
        words, lines = list[str](), list(proof.lines)
    else:
        words = [before["because"]] if "because" in before else []
        words += [because] if because else []
        lines = [*before.get("evidence", ()), *(proof.lines if proof else ())]
    return {
        "from": before.get("from", str(old.ref)),
        "manifest_sha256": before.get("manifest_sha256") or manifest_digest(old.manifest),
        "how": BECAUSE if words else PROVED,
        **({"because": "; ".join(dict.fromkeys(words))} if words else {}),
        "evidence": list(dict.fromkeys(lines)),
    }
