"""Estimate the seconds and bytes of results: medians of past runs here, else unknown.

Only runs on this very processor and device count. A training is estimated by runs of its stage
with the same model, vocabulary, batch and number of processes, scaled by steps; another result by
the runs of its stage on the same text, or on one of about its size, that share the most settings
and inputs with it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from variorum.base.errors import VariorumError
from variorum.base.machine import Device, processor
from variorum.config.canonical import restored
from variorum.corpus.source import ChangingSource
from variorum.identity.spec import Ref, Spec, canonical_json
from variorum.plan import source_lock
from variorum.plan.experiment import Node
from variorum.plan.timing import MATTER
from variorum.stages.download import DownloadStage
from variorum.stages.registry import TRAININGS
from variorum.store.result import Result, StoreError, size_of
from variorum.store.store import Store

ABOUT = 2
"""How many times the bytes of one text another may have and take about as long."""

Texts = Mapping[Ref, int | None]
"""The downloads that a result reads, with the bytes of each, or None if unknown.

What its models were trained on takes it no time.
"""


@dataclass(frozen=True)
class Estimate:
    """Hold what one result takes, process start included; runs: the past runs behind it."""

    seconds: float
    n_bytes: int
    runs: frozenset[Ref]


@dataclass(frozen=True)
class Past:
    """Hold a run on this processor; facts: its `run.json`."""

    result: Result
    spec: Spec
    facts: dict[str, Any]

    @property
    def seconds(self) -> float:
        """Return how long its stage worked."""
        return float(self.facts["seconds"])

    @property
    def start(self) -> float:
        """Return the seconds until its process began to work; 0 if that was not noted."""
        return float(self.facts.get("start_seconds", 0.0))

    @cached_property
    def n_bytes(self) -> int:
        """Return its size on the disk."""
        return size_of(self.result.folder)


class Estimates:
    """Estimate what results take here, with trainings on so many processes."""

    def __init__(self, store: Store, processes: int, device: Device = "cpu") -> None:
        self.store, self.processes, self.device = store, processes, device
        self._of_stage: dict[str, list[Past]] = {}
        self._planned: dict[Ref, Texts] = {}
        self._texts: dict[Ref, Texts | None] = {}

    def of(self, node: Node) -> Estimate | None:
        """Return the estimate of a planned result; None if no past run is like it."""
        stage = node.ref.stage
        if stage not in self._of_stage:
            self._of_stage[stage] = list(self._past(stage))
        past = self._of_stage[stage]
        if stage in TRAININGS:
            return self._of_training(node, past)
        texts = self._texts_planned(node)
        past = [each for each in past if _are_alike(texts, self._texts_past(each.result.ref))]
        shared = [_in_common(each, node) for each in past]
        like = [each for each, own in zip(past, shared, strict=True) if own == max(shared)]
        return _medians([each.start + each.seconds for each in like], like)

    def _past(self, stage: str) -> Iterator[Past]:
        here = processor()
        for ref in self.store.refs(stage):
            with suppress(StoreError):  # a damaged result tells nothing
                result = self.store.peek(ref)
                facts = result.run
                same = facts.get("processor") == here
                if same and facts.get("device", self.device) == self.device and "seconds" in facts:
                    yield Past(result, result.spec, facts)

    def _texts_planned(self, node: Node) -> Texts:
        """Return what a planned result reads; many paths through the graph end at one text."""
        if node.ref not in self._planned:
            if "source" in node.spec.settings:
                texts: Texts = {node.ref: self._n_bytes(node.ref, node.spec)}
            else:
                read = (n for n in node.upstream.values() if n.ref.stage not in TRAININGS)
                below = map(self._texts_planned, read)
                texts = {ref: size for each in below for ref, size in each.items()}
            self._planned[node.ref] = texts
        return self._planned[node.ref]

    def _texts_past(self, ref: Ref) -> Texts | None:
        """Return what a past result reads; None if a result in between is gone."""
        if ref not in self._texts:
            self._texts[ref] = None
            with suppress(StoreError):
                spec = self.store.peek(ref).spec
                if "source" in spec.settings:
                    self._texts[ref] = {ref: self._n_bytes(ref, spec)}
                else:
                    read = (r for r in spec.upstream.values() if r.stage not in TRAININGS)
                    below = [self._texts_past(upstream) for upstream in read]
                    if None not in below:
                        self._texts[ref] = {
                            r: n for texts in below for r, n in (texts or {}).items()
                        }
        return self._texts[ref]

    def _n_bytes(self, ref: Ref, spec: Spec) -> int | None:
        """Return the bytes of a text, by its documents, its source or the lock."""
        with suppress(StoreError):
            return int(self.store.peek(ref).manifest["files"]["documents.jsonl"]["bytes"])
        with suppress(VariorumError, ValueError):  # its files are gone, or other code planned it
            source = restored(DownloadStage, dict(spec.settings)).source
            if isinstance(source, ChangingSource):
                entry = source_lock.entries(self.store.root).get(source.lock_name)
                return entry.n_bytes if entry else None
            return source.n_bytes_here(self.store.root)
        return None

    def _of_training(self, node: Node, past: list[Past]) -> Estimate | None:
        planned = _likeness(node.spec, lambda name: node.upstream[name].spec, self.processes)
        steps = node.spec.settings["training"]["max_steps"]
        seconds, like = [], []
        for each in past:
            with suppress(StoreError, OSError, KeyError, ValueError):  # its inputs may be gone
                processes = each.facts.get("processes", 1)
                if _likeness(each.spec, self._upstream(each), processes) == planned:
                    seconds.append(each.start + steps * self._seconds_of_step(each))
                    like.append(each)
        return _medians(seconds, like)

    def _upstream(self, past: Past) -> Callable[[str], Spec]:
        return lambda name: self.store.peek(past.spec.upstream[name]).spec

    def _seconds_of_step(self, past: Past) -> float:
        """Return seconds by step.

        A resumed run noted its last part alone, so its speed counts.
        """
        seconds = past.seconds / past.result.json("metrics.json")["steps"]
        if speed := past.facts.get("tokens_per_second"):
            tokens = past.spec.settings["training"]["batch_size"]
            tokens *= _model(past.spec, self._upstream(past))["context_length"]
            seconds = max(seconds, tokens / speed)
        return float(seconds)


def _medians(seconds: list[float], like: list[Past]) -> Estimate | None:
    if not like:
        return None
    n_bytes = round(median(each.n_bytes for each in like))
    return Estimate(median(seconds), n_bytes, frozenset(each.result.ref for each in like))


def _likeness(spec: Spec, upstream: Callable[[str], Spec], processes: int) -> str:
    """Return text that is equal for trainings whose steps take about as long.

    upstream: Return the spec of an input by its role.
    """
    training = spec.settings["training"]
    return canonical_json(
        {
            "model": _model(spec, upstream),
            "tokenizer": upstream("tokenizer").settings,
            "training": {name: training[name] for name in MATTER if name in training},
            "processes": min(processes, training["shards"]),
        }
    )


def _model(spec: Spec, upstream: Callable[[str], Spec]) -> dict[str, Any]:
    """Return the settings of the model that is trained."""
    begun = spec if "model" in spec.settings else upstream("model")
    settings: dict[str, Any] = begun.settings["model"]
    return settings


def _are_alike(planned: Texts, past: Texts | None) -> bool:
    """Return whether two results stand on the same texts, or on as much text."""
    if past is None or planned.keys() == past.keys():
        return past is not None
    sizes = [[size for size in texts.values() if size is not None] for texts in (planned, past)]
    if len(sizes[0]) < len(planned) or len(sizes[1]) < len(past):
        return False
    less, more = sorted(map(sum, sizes))
    return more <= ABOUT * less


def _in_common(past: Past, node: Node) -> tuple[bool, int, bool]:
    """Return whether settings, how many inputs, and whether the label is the same."""
    same = sum(past.spec.upstream.get(name) == ref for name, ref in node.spec.upstream.items())
    return past.spec.settings == node.spec.settings, same, past.facts.get("label") == node.label
