"""Measure and lock how long training steps take, and give variants equal time.

A measured time differs each time, and what enters a key must not. So the seconds of a step are
measured once, locked in `config/step_times.lock`, committed, and read from then on. Only how the
times of one ablation compare counts: they are measured side by side, and a later one beside one
that is locked, and scaled by it, so that it compares on another day or machine as well.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError
from variorum.base.locks import LockFile
from variorum.base.machine import TRAINING_PROCESSES, processor
from variorum.config.setting_checks import validated
from variorum.config.setting_errors import ConfigError
from variorum.config.setting_layers import merged, written_at
from variorum.model import config_file
from variorum.plan import timing
from variorum.plan.ablation_loading import (
    LoadedAblation,
    Variant,
    ablation_names,
    load_ablation,
)
from variorum.plan.experiment_settings import Experiment
from variorum.plan.loading import LoadedExperiment
from variorum.plan.source_lock import LOCKED, is_locked, refuse_if_locked, say
from variorum.plan.timing import Steps

LOCK = "config/step_times.lock"
REMEDY = "run `variorum lock`, and commit the file"

SECONDS = 4.0
"""For each of the trainings that are measured together."""

ROUNDS = 5
"""So many times they take turns."""


@dataclass(frozen=True)
class StepTime:
    """Hold the seconds of a step, and the variant and ablation they were measured for.

    processor, device: where; for people, as no key stands on them.
    """

    seconds: float
    variant: str
    processor: str
    device: str = "cpu"


def _decode(fields: Mapping[str, Any]) -> StepTime:
    seconds = fields["seconds"]
    if type(seconds) is not float or not math.isfinite(seconds) or seconds <= 0:
        raise ValueError("seconds")
    return StepTime(**fields)


FILE = LockFile(
    LOCK,
    "# Seconds that a step of a training took when that was first needed, for budgets of time.\n"
    "# Keys stand on these; commit this file.\n",
    "seconds above zero, a variant, a processor and a device",
    _decode,
    asdict,
)


# Equal time


def with_equal_time(loaded: LoadedAblation, root: Path, *, offline: bool) -> LoadedAblation:
    """Return an ablation with the steps that a budget of time gives its variants.

    A missing step time is measured, or, with `offline`, a `ConfigError`.
    """
    if loaded.settings.budget != "time":
        return loaded
    missing = _missing(loaded, root)
    origin = loaded.layers.origin(("budget",))
    where = f"{origin}: budget"
    if missing and offline:
        raise ConfigError(f"{where}: unlocked: {LOCK} has no step time of {missing[0]}; {REMEDY}")
    if missing:
        _add(loaded, root)
    known = FILE.read(root)

    def given(variant: Variant, own: LoadedExperiment) -> LoadedExperiment:
        section, baseline = variant.last_stage, loaded.variants[loaded.settings.baseline].experiment
        step, reference = (
            known[_entry(loaded.name, _steps(each, section, root))].seconds
            for each in (own, baseline)
        )
        steps = max(1, round(getattr(baseline.settings, section).max_steps * reference / step))
        change: dict[str, Any] = {section: {"max_steps": steps}}
        layers = merged(own.layers, written_at(change, lambda place: origin))
        try:
            settings = validated(Experiment, layers, origin)
        except ConfigError as error:
            raise ConfigError(
                f"{where}: with the steps that variant {variant.name} gets, {error}"
            ) from None
        return replace(own, settings=settings, layers=layers)

    variants = {
        name: replace(
            variant,
            experiment=given(variant, variant.experiment),
            tuned={value: given(variant, own) for value, own in variant.tuned.items()},
        )
        for name, variant in loaded.variants.items()
    }
    return replace(loaded, variants=variants)


def steps_to_time(loaded: LoadedAblation, root: Path) -> dict[str, Steps]:
    """Return the steps whose time a budget of time needs, each kind once.

    By variant, or by `variant@value` where a tuned value makes another kind; the baseline's come
    first. Empty for any other ablation.
    """
    if loaded.settings.budget != "time":
        return {}
    variants = loaded.variants.values()
    baseline = loaded.variants[loaded.settings.baseline]
    compared = [(baseline.name, baseline.experiment, each.last_stage) for each in variants]
    own = [(run, each, v.last_stage) for v in variants for run, _, each in v.runs]
    several = len({each.last_stage for each in variants}) > 1
    kinds: dict[str, tuple[str, Steps]] = {}
    for name, experiment, section in [*compared, *own]:
        steps = _steps(experiment, section, root)
        kinds.setdefault(steps.digest, (f"{name} {section}" if several else name, steps))
    return dict(kinds.values())


def _steps(loaded: LoadedExperiment, section: str, root: Path) -> Steps:
    chosen = loaded.settings
    vocab_size = chosen.tokenizer.vocab_size
    if chosen.imported is not None:
        folder = root / Path(chosen.imported.path).expanduser()
        vocab_size = config_file.read(folder / "config.json")[1]
    return Steps(chosen.model, vocab_size, getattr(chosen, section))


# The lock


def _entry(ablation: str, steps: Steps) -> str:
    """Return the name of an entry: each ablation has its own."""
    return f"{ablation}/{steps.digest}"


def resolve(root: Path) -> list[str]:
    """Measure missing step times of all ablations; returns their variants.

    Raises `VariorumError` if one is missing and the environment forbids to add it.
    """
    ablations = [load_ablation(root, name) for name in ablation_names(root)]
    return [added for each in ablations if _missing(each, root) for added in _add(each, root)]


def check(root: Path) -> int:
    """Return how many step times are locked; raises `VariorumError` that names missing ones."""
    ablations = [load_ablation(root, name) for name in ablation_names(root)]
    missing = [f"{each.name}/{variant}" for each in ablations for variant in _missing(each, root)]
    if missing:
        raise VariorumError(
            "\n".join(f"{LOCK} has no step time of {each}; {REMEDY}" for each in missing)
        )
    return len(FILE.read(root))


def accept(root: Path, name: str) -> dict[str, tuple[float, float]]:
    """Measure all step times of an ablation again; gives old and new ones, by variant."""
    refuse_if_locked(LOCK)
    asked = steps_to_time(load_ablation(root, name), root)
    if not asked:
        raise VariorumError(f"{name}: no `budget: time`, so it needs no step times")
    with FILE.changing(root, say) as known:
        found = {_entry(name, asked[v]): new for v, new in _measured(name, asked).items()}
        changed = {
            new.variant: (known[entry].seconds, new.seconds)
            for entry, new in found.items()
            if entry in known
        }
        _drop(known, name)
        known.update(found)
    return changed


def _missing(loaded: LoadedAblation, root: Path) -> list[str]:
    """Return the variants of an ablation whose step times are not locked."""
    known = FILE.read(root)
    asked = steps_to_time(loaded, root)
    return [name for name, steps in asked.items() if _entry(loaded.name, steps) not in known]


def _add(loaded: LoadedAblation, root: Path) -> list[str]:
    """Measure what an ablation lacks, beside something that is locked, and lock it.

    Where nothing is locked that it needs now, what it needed before goes: the two do not compare.
    """
    name, asked = loaded.name, steps_to_time(loaded, root)
    if is_locked():
        lacking = ", ".join(f"{name}/{variant}" for variant in _missing(loaded, root))
        raise VariorumError(
            f"unlocked: {LOCK} has no step time of {lacking}, and {LOCKED} forbids to measure it; "
            f"where it is not set, {REMEDY}"
        )
    entry = {variant: _entry(name, steps) for variant, steps in asked.items()}
    with FILE.changing(root, say) as known:
        locked = [variant for variant in asked if entry[variant] in known][:1]
        added = [variant for variant in asked if entry[variant] not in known]
        if not locked:
            _drop(known, name)
        found = _measured(name, {variant: asked[variant] for variant in [*locked, *added]})
        scales = [known[entry[each]].seconds / found[each].seconds for each in locked]
        for variant in added:
            seconds = _rounded(found[variant].seconds * math.prod(scales))
            known[entry[variant]] = replace(found[variant], seconds=seconds)
            say(f"{LOCK}: {name}/{variant} = {seconds} s a step; commit it")
    return [f"{name}/{variant}" for variant in added]


def _measured(name: str, asked: Mapping[str, Steps]) -> dict[str, StepTime]:
    """Measure the steps of each of these variants, and say how far they vary."""
    seconds = round(SECONDS * len(asked))
    say(f"{name}: measures how long steps of {', '.join(asked)} take, for about {seconds} s")
    processes = min(TRAINING_PROCESSES, len(os.sched_getaffinity(0)))
    steps = list(asked.values())
    timed = timing.measure(steps, seconds=SECONDS, rounds=ROUNDS, processes=processes)
    found = {}
    for variant, each in zip(asked, timed, strict=True):
        found[variant] = StepTime(_rounded(each.seconds), f"{name}/{variant}", processor())
        say(
            f"{name}/{variant}: {found[variant].seconds} s a step ({each.steps} steps; the slowest "
            f"of {ROUNDS} rounds took {each.spread:.0%} longer than the fastest)"
        )
    return found


def _drop(known: dict[str, StepTime], name: str) -> None:
    """Remove the entries of an ablation."""
    for entry in [each for each in known if each.startswith(f"{name}/")]:
        del known[entry]


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.4g}")
