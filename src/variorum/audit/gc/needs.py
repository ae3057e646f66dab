"""Find who needs which result: plans, pins by name, and git references.

Each also needs the inputs of its results. Nothing is downloaded, and no stage runs.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from variorum.audit.available import Upstream, closure
from variorum.base.errors import VariorumError
from variorum.identity.spec import Ref
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import ablation_names, load_ablation
from variorum.plan.experiment import plan_experiment
from variorum.plan.loading import experiment_names, load_experiment, named_experiment
from variorum.store import pins
from variorum.store.committed import has_git, pinned_by_others

CURRENT = "current"
"""Name of the current experiment where `config/config.yaml` changes it."""

REFERENCE = "@"
"""Prefix of a git reference among the names of who needs a result."""


@dataclass(frozen=True)
class Needs:
    """Hold who needs each result, as far as is known.

    serves: names by result: `default` of a plan, `pinned: NAME` of a pin, `@feature` of a
    reference. faults: why needs are not fully known. codes: other code versions that ablations
    name.
    """

    serves: Mapping[Ref, tuple[str, ...]]
    faults: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()


def needs(root: Path, upstream: Upstream[Ref]) -> Needs:
    """Return who needs which result of the project at `root`."""
    found = _Gathered(root, cache(upstream))
    found.plans()
    found.pins()
    if has_git(root):
        found.references()
    serves = {ref: tuple(names) for ref, names in found.names.items()}
    return Needs(serves, tuple(found.faults), tuple(found.codes))


class _Gathered:
    """Collect who needs each result; dictionaries serve as ordered sets."""

    def __init__(self, root: Path, upstream: Upstream[Ref]) -> None:
        self.names: dict[Ref, dict[str, None]] = {}
        self.faults: dict[str, None] = {}
        self.codes: dict[str, None] = {}
        self._root, self._upstream = root, upstream

    def plans(self) -> None:
        """Add what every experiment, the current settings and every ablation plan."""
        root = self._root
        for name in experiment_names(root):
            with self._faults_noted():
                loaded = named_experiment(root, name)
                self._add(name, plan_experiment(loaded, root, offline=True).nodes)
        with self._faults_noted():
            current = load_experiment(root)
            if current.overrides:
                self._add(CURRENT, plan_experiment(current, root, offline=True).nodes)
        for name in ablation_names(root):
            with self._faults_noted():
                ablation = load_ablation(root, name)
                codes = (variant.code for variant in ablation.variants.values())
                self.codes |= {code: None for code in codes if code}
                self._add(name, plan_ablation(ablation, root, offline=True).nodes)

    def pins(self) -> None:
        """Add what is pinned by name."""
        with self._faults_noted():
            for name, ref in pins.pins(self._root).items():
                if self._upstream(ref) is None:
                    self.faults[
                        f"{ref} is pinned as {name} and neither here nor in DVC's cache, so what "
                        f"it was made from is unknown; fetch it with `dvc pull results/{ref}.dvc`, "
                        "or drop that pin"
                    ] = None
                self._add(f"pinned: {name.partition('/')[0]}", closure([ref], self._upstream))

    def references(self) -> None:
        """Add what other references of git hold `.dvc` files for."""
        for name, refs in pinned_by_others(self._root).items():
            self._add(f"{REFERENCE}{name}", closure(refs, self._upstream))

    def _add(self, name: str, refs: Iterable[Ref]) -> None:
        for ref in refs:
            self.names.setdefault(ref, {})[name] = None

    @contextmanager
    def _faults_noted(self) -> Iterator[None]:
        """Note what cannot be planned, and continue.

        A plan with an unlocked source has no results yet.
        """
        try:
            yield
        except VariorumError as error:
            if ": unlocked: " not in str(error):
                self.faults |= dict.fromkeys(str(error).splitlines()[:1])
