"""Whom each result serves: the experiments and ablations of one tree of files, and what is kept.

A tree answers for itself. Keys depend on code, so another branch is asked by running its own
package on its own files: `python -m variorum.audit.holdings.answer` prints, as JSON, the answer of
the tree that it is run in. Nothing is downloaded, and no stage runs.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from variorum import kept
from variorum.ablation_plan import plan_ablation
from variorum.ablations import ablation_names, load_ablation
from variorum.corpus.source import LocalSource
from variorum.errors import VariorumError
from variorum.experiments import (
    LoadedExperiment,
    experiment_names,
    load_experiment,
    named_experiment,
)
from variorum.plan import SIDES, Plan, plan_experiment
from variorum.store import Ref

VERSION = 1
"""Of the answer's form; raised when a reader of the old one would misread the new."""

CURRENT = "current"
"""Name of the current experiment where `config/config.yaml` changes it."""

Text = tuple[str, tuple[str, ...]]
"""Files on this machine as a source names them: path and suffixes."""


@dataclass(frozen=True)
class Answer:
    """What one tree says.

    serves: for each planned result, the experiments and ablations that it serves.
    kept: results that are kept, by name and seed.
    faults: one line for each experiment or ablation that cannot be planned.
    texts: files that keys stand on.
    codes: other states of the code that its ablations run, as they name them.
    """

    serves: Mapping[Ref, tuple[str, ...]] = field(default_factory=dict)
    kept: Mapping[str, Ref] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    texts: tuple[Text, ...] = ()
    codes: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "version": VERSION,
            "serves": {str(ref): list(names) for ref, names in self.serves.items()},
            "kept": {name: str(ref) for name, ref in self.kept.items()},
            "faults": list(self.faults),
            "texts": [[path, list(suffixes)] for path, suffixes in self.texts],
            "codes": list(self.codes),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Answer":
        """The inverse of `as_data`; raises `ValueError` for another version."""
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']}, not {VERSION}")
        return cls(
            {Ref.parse(ref): tuple(names) for ref, names in data["serves"].items()},
            {name: Ref.parse(ref) for name, ref in data["kept"].items()},
            tuple(data["faults"]),
            tuple((path, tuple(suffixes)) for path, suffixes in data["texts"]),
            tuple(data.get("codes", ())),  # older code knows none
        )


def ask(root: Path) -> Answer:
    """The answer of the tree at `root`, planned with this very package."""
    collected = _Collected(root)
    for name in experiment_names(root):
        with collected.faults_noted():
            collected.experiment(name, named_experiment(root, name))
    with collected.faults_noted():
        current = load_experiment(root)
        if current.overrides:
            collected.experiment(CURRENT, current)
    for name in ablation_names(root):
        with collected.faults_noted():
            collected.ablation(name)
    with collected.faults_noted():
        collected.kept = kept.pins(root)
    return collected.answer()


class _Collected:
    """What the plans of a tree have said so far."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kept: Mapping[str, Ref] = {}
        self._serves: dict[Ref, list[str]] = {}
        self._faults: dict[str, None] = {}
        self._texts: dict[Text, None] = {}
        self._codes: dict[str, None] = {}

    def experiment(self, name: str, loaded: LoadedExperiment) -> None:
        self._note_texts([loaded])
        self._note(name, plan_experiment(loaded, self.root, offline=True))

    def ablation(self, name: str) -> None:
        loaded = load_ablation(self.root, name)
        self._note_texts(loaded.experiments)
        self._codes |= {variant.code: None for variant in loaded.variants.values() if variant.code}
        self._note(name, plan_ablation(loaded, self.root, offline=True))

    @contextmanager
    def faults_noted(self) -> Iterator[None]:
        """Go on where something cannot be planned. What is unlocked has no results yet."""
        try:
            yield
        except VariorumError as error:
            if ": unlocked: " not in str(error):
                self._faults |= dict.fromkeys(str(error).splitlines()[:1])

    def _note(self, name: str, plan: Plan) -> None:
        for ref in plan.nodes:
            names = self._serves.setdefault(ref, [])
            if name not in names:
                names.append(name)

    def _note_texts(self, experiments: Iterable[LoadedExperiment]) -> None:
        for loaded in experiments:
            for side in SIDES:
                corpus = getattr(loaded.settings.corpus, side)
                if corpus is not None and isinstance(corpus.source, LocalSource):
                    self._texts[corpus.source.path, tuple(corpus.source.suffixes)] = None
            if loaded.settings.imported is not None:
                self._texts[loaded.settings.imported.path, ()] = None

    def answer(self) -> Answer:
        serves = {ref: tuple(names) for ref, names in self._serves.items()}
        codes = tuple(self._codes)
        return Answer(serves, self.kept, tuple(self._faults), tuple(self._texts), codes)


if __name__ == "__main__":
    print(json.dumps(ask(Path.cwd()).as_data()))
