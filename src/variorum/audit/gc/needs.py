"""Find who needs which result: plans, pins by name, and git references.

Each also needs the inputs of its results. Nothing is downloaded, and no stage runs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from variorum.audit.available import Upstream, closure
from variorum.base.errors import VariorumError
from variorum.identity.spec import Ref
from variorum.plan.ablation import plan_ablation
from variorum.plan.ablation_loading import LoadedAblation, ablation_names, load_ablation
from variorum.plan.experiment import Plan, plan_experiment
from variorum.plan.loading import (
    LoadedExperiment,
    experiment_names,
    load_experiment,
    named_experiment,
)
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
    reference. faults: why needs are not fully known. codes: the packages of other code versions by
    which results are planned.
    """

    serves: Mapping[Ref, tuple[str, ...]]
    faults: tuple[str, ...] = ()
    codes: frozenset[Path] = frozenset()


def needs(root: Path, upstream: Upstream) -> Needs:
    """Return who needs which result of the project at `root`."""
    upstream, faults = cache(upstream), dict[str, None]()  # a dictionary is an ordered set
    plans = list(_plans(root, faults))
    served: list[tuple[str, Iterable[Ref]]] = [(name, plan.nodes) for name, plan in plans]
    served += ((name, closure(refs, upstream)) for name, refs in _pins(root, upstream, faults))
    names: dict[Ref, dict[str, None]] = {}
    for name, refs in served:
        for ref in refs:
            names.setdefault(ref, {})[name] = None
    codes = {node.version.package for _, plan in plans for node in plan if node.version}
    serves = {ref: tuple(own) for ref, own in names.items()}
    return Needs(serves, tuple(faults), frozenset(codes))


def _plans(root: Path, faults: dict[str, None]) -> Iterator[tuple[str, Plan]]:
    """Yield what every experiment, the current settings and every ablation plan.

    What cannot be planned is noted, but a plan with an unlocked source has no results yet.
    """

    def current() -> LoadedExperiment | None:
        loaded = load_experiment(root)
        return loaded if loaded.overrides else None

    loads: list[tuple[str, Callable[[], LoadedExperiment | LoadedAblation | None]]] = [
        *((name, partial(named_experiment, root, name)) for name in experiment_names(root)),
        (CURRENT, current),
        *((name, partial(load_ablation, root, name)) for name in ablation_names(root)),
    ]
    for name, load in loads:
        try:
            loaded = load()
            if isinstance(loaded, LoadedAblation):
                yield name, plan_ablation(loaded, root, offline=True)
            elif loaded is not None:
                yield name, plan_experiment(loaded, root, offline=True)
        except VariorumError as error:
            if ": unlocked: " not in str(error):
                faults |= dict.fromkeys(str(error).splitlines()[:1])


def _pins(
    root: Path, upstream: Upstream, faults: dict[str, None]
) -> Iterator[tuple[str, Iterable[Ref]]]:
    """Yield what is pinned by name, or by `.dvc` files of other references."""
    try:
        for name, ref in pins.pins(root).items():
            yield f"pinned: {name.partition('/')[0]}", [ref]
            if upstream(ref) is None:
                fault = (
                    f"{ref} is pinned as {name} and neither here nor in DVC's cache, so what it "
                    f"was made from is unknown; fetch it with `dvc pull results/{ref}.dvc`, or "
                    "drop that pin"
                )
                faults[fault] = None
    except VariorumError as error:
        faults[str(error).splitlines()[0]] = None
    if has_git(root):
        yield from ((f"{REFERENCE}{name}", refs) for name, refs in pinned_by_others(root).items())
