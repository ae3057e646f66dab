"""Find old results whose files can serve missing planned results.

A candidate has the same settings and was made from the same bytes, so only the code may matter. The
keys of its inputs do not.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from variorum.audit.explain.differences import Bytes, Setting, causes
from variorum.audit.explain.operands import Operand, ResultIndex
from variorum.identity.spec import Ref
from variorum.plan.experiment import Node
from variorum.store.restoring import bundled
from variorum.store.result import MANIFEST, Result
from variorum.store.store import Store

PROVED, BECAUSE = "proved", "because"
"""How a result was adopted: with evidence, or on a person's word."""


@dataclass(frozen=True)
class Match:
    """Hold a missing planned result and the old one that can serve it."""

    node: Node
    old: Result

    @property
    def same_code(self) -> bool:
        """Check whether the code is the same, so that only keys of inputs differ."""
        return self.node.spec.code == self.old.spec.code


class CandidateSearch:
    """Find for each node an old result with equal settings and input bytes.

    differing: nodes whose own predecessor, by label, has other settings; they are in `reasons` too.
    """

    def __init__(self, store: Store, nodes: Mapping[Ref, Node]) -> None:
        self.store = store
        self.index = ResultIndex(store)
        self.matches: dict[Ref, Match] = {}
        self.reasons: dict[Ref, str] = {}
        self.differing: list[Ref] = []
        self._files: dict[Ref, Mapping[str, Any] | None] = {}
        self._stages: dict[str, list[Result]] = {}
        self._bundled = bundled(store)
        for node in nodes.values():
            self._files[node.ref] = self._look(node)

    def find(self, ref: Ref) -> Result | None:
        """Return a result from its folder, or from a report that carries it."""
        if found := self.index.finished(ref):
            return found.result
        folder = self._bundled.get(ref)
        try:
            manifest = json.loads((folder / MANIFEST).read_text("utf-8")) if folder else None
        except ValueError:  # cut off; `verify` names it
            manifest = None
        return Result(ref, folder, manifest) if folder and manifest else None

    def _look(self, node: Node) -> Mapping[str, Any] | None:
        """Return the files that serve a node; without any, note the reason."""
        if self._is_here(node.ref):
            return dict(self.store.open(node.ref).manifest["files"])
        lacking = [n for n in node.upstream.values() if self._files[n.ref] is None]
        if lacking:
            self.reasons[node.ref] = f"it is made from {lacking[0]}, which has to be made"
            return None
        fed = [old for old in self._of_stage(node.ref.stage) if not self._other_bytes(node, old)]
        alike = [old for old in fed if _same_settings(node, old)]
        if node.version:  # what it runs is not the code that could be proved to make the same
            alike = [old for old in alike if old.spec.code == node.spec.code]
            if not alike:
                by = node.version.name
                self.reasons[node.ref] = f"it is to be made by {by}, not by this code"
                return None
        if not alike:
            self._explain(node, fed)
            return None
        old = max(alike, key=lambda old: _preference(node, old))
        self.matches[node.ref] = Match(node, old)
        return dict(old.manifest["files"])

    def _is_here(self, ref: Ref) -> bool:
        if not self.store.repairable(ref):
            return self.store.exists(ref)
        with self.store.locked(ref):
            return self.store.repair(ref)

    def _of_stage(self, stage: str) -> list[Result]:
        if stage not in self._stages:
            refs = {*self.store.refs(stage), *(ref for ref in self._bundled if ref.stage == stage)}
            found = (self.find(ref) for ref in sorted(refs))
            self._stages[stage] = [old for old in found if old is not None]
        return self._stages[stage]

    def _other_bytes(self, node: Node, old: Result) -> str | None:
        """Return why an old result's inputs have other bytes than the node's."""
        inputs = old.manifest["inputs"]
        if inputs.keys() != node.upstream.keys():
            return "its inputs differ"
        for name, needed in node.upstream.items():
            files, noted = self._files[needed.ref] or {}, inputs[name]["files"]
            if files != noted:
                file = next(n for n in sorted({*files, *noted}) if files.get(n) != noted.get(n))
                return f"it was made from another {name}: {file} differs"
        return None

    def _explain(self, node: Node, fed: list[Result]) -> None:
        """Note why no old result serves a node: what the nearest one lacks."""
        same = [old for old in self._of_stage(node.ref.stage) if _same_settings(node, old)]
        own = [old for old in fed if old.run.get("label") == node.label]
        if fed:
            old = max(own or fed, key=_age)
            found = causes(Operand(old.spec, self.index, None, old), self.index.planned(node))
            settings = "; ".join(
                str(cause.difference)
                for cause in found
                if len(cause.chain) == 1 and isinstance(cause.difference, (Setting, Bytes))
            )
            reason = f"{old.ref} has other settings: {settings or 'its settings differ'}"
            self.differing += [node.ref] if own else []
        elif same:
            old = max(same, key=lambda old: (old.run.get("label") == node.label, _age(old)))
            reason = f"{old.ref} has its settings, but {self._other_bytes(node, old)}"
        else:
            reason = f"no old result of {node.ref.stage} has its settings and its input"
        self.reasons[node.ref] = reason


def _same_settings(node: Node, old: Result) -> bool:
    spec = old.spec
    return spec.settings == node.spec.settings and spec.libraries == node.spec.libraries


def _age(old: Result) -> tuple[str, str]:
    """Return when a result was made or adopted; later ones are greater."""
    adopted = old.run.get("adopted") or {}
    return str(adopted.get("at") or old.run.get("begun", "")), old.ref.key


def _preference(node: Node, old: Result) -> tuple[bool, bool, bool, tuple[str, str]]:
    """Return the rank of an old result: proved, same code, made not adopted, latest.

    Git likelier has the code of a result that was made than of an adopted one.
    """
    on_word = (old.adopted or {}).get("how") == BECAUSE
    return not on_word, old.spec.code == node.spec.code, old.adopted is None, _age(old)
