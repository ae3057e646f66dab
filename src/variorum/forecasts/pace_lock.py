"""Measures the paces that budgets of time need, and locks them in `config/paces.lock`.

A missing one is measured when a run is planned, and announced, unless VARIORUM_LOCKED forbids it.
All that are measured take turns, and one that is locked already takes part: the new entries are
scaled by what it says, so that they compare with those of another day or another machine.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from variorum import paces
from variorum.ablations import ablation_names, steps_to_pace
from variorum.atomic import write_atomically
from variorum.errors import VariorumError
from variorum.forecasts import pace
from variorum.machine import TRAINING_PROCESSES, processor
from variorum.paces import LOCK, REMEDY, Entry, Steps
from variorum.sources import LOCKED, is_locked, say
from variorum.store import Ref, Store

SECONDS = 4.0
"""For each of the trainings that are measured together."""

ROUNDS = 5
"""So many times they take turns."""

_HOLDS_LOCK = Ref("paces", "lock")


def resolve(root: Path, names: Sequence[str] = ()) -> list[str]:
    """Lock every pace that these ablations need, or all; gives the variants of the new ones.

    Raises `VariorumError` if one is missing and the environment forbids to add it.
    """
    added: list[str] = []
    for name in names or ablation_names(root):
        missing = _missing(root, name)
        if missing and is_locked():
            raise VariorumError(
                f"unlocked: {LOCK} has no pace of {', '.join(missing)}, and {LOCKED} forbids to "
                f"measure it; where it is not set, {REMEDY}"
            )
        if missing:
            with _alone(root):
                added += _add(root, name)
    return added


def check(root: Path) -> int:
    """How many paces are locked; raises `VariorumError` that names each one that is not."""
    missing = [each for name in ablation_names(root) for each in _missing(root, name)]
    if missing:
        raise VariorumError(
            "\n".join(f"{LOCK} has no pace of {each}; {REMEDY}" for each in missing)
        )
    return len(paces.entries(root))


def accept(root: Path, name: str) -> dict[str, tuple[float, float]]:
    """Measure all paces of an ablation again; gives the old and the new ones, by variant."""
    if is_locked():
        raise VariorumError(f"{LOCKED} is set, so {LOCK} stays as it is; unset it to change that")
    asked = steps_to_pace(root, name)
    if not asked:
        raise VariorumError(f"{name}: no `budget: time`, so it needs no paces")
    with _alone(root):
        known = paces.entries(root)
        named = {variant: steps.entry_of(name) for variant, steps in asked.items()}
        new = _measured(name, asked)
        found = {named[variant]: entry for variant, entry in new.items()}
        _write(root, _without(known, name) | found)
    return {
        entry.variant: (known[each].seconds, entry.seconds)
        for each, entry in found.items()
        if each in known
    }


def _missing(root: Path, name: str) -> list[str]:
    """The variants of an ablation whose paces are not locked."""
    known = paces.entries(root)
    asked = steps_to_pace(root, name)
    return [f"{name}/{each}" for each, steps in asked.items() if steps.entry_of(name) not in known]


def _add(root: Path, name: str) -> list[str]:
    """Measure what an ablation lacks, beside something that is locked, and lock it.

    Where nothing is locked that it needs now, what it needed before goes: the two do not compare.
    """
    known = paces.entries(root)
    asked = steps_to_pace(root, name)
    named = {variant: steps.entry_of(name) for variant, steps in asked.items()}
    locked = [variant for variant, each in named.items() if each in known][:1]
    lacking = [variant for variant, each in named.items() if each not in known]
    known = known if locked else _without(known, name)
    found = _measured(name, {variant: asked[variant] for variant in [*locked, *lacking]})
    scale = 1.0
    for variant in locked:
        scale = known[named[variant]].seconds / found[variant].seconds
    for variant in lacking:
        entry = replace(found[variant], seconds=_rounded(found[variant].seconds * scale))
        known[named[variant]] = entry
        say(f"{LOCK}: {entry.variant} = {entry.seconds} s a step; commit it")
    _write(root, known)
    return [f"{name}/{variant}" for variant in lacking]


def _measured(name: str, asked: Mapping[str, Steps]) -> dict[str, Entry]:
    """The pace of each of these variants as it is now, and how far it wavers."""
    seconds = round(SECONDS * len(asked))
    say(f"{name}: measures how long steps of {', '.join(asked)} take, for about {seconds} s")
    processes = min(TRAINING_PROCESSES, len(os.sched_getaffinity(0)))
    timed = pace.measure(list(asked.values()), seconds=SECONDS, rounds=ROUNDS, processes=processes)
    found = {}
    for variant, each in zip(asked, timed, strict=True):
        entry = Entry(_rounded(each.seconds), f"{name}/{variant}", processor())
        say(
            f"{entry.variant}: {entry.seconds} s a step ({each.steps} steps; the slowest of "
            f"{ROUNDS} rounds took {each.spread:.0%} longer than the fastest)"
        )
        found[variant] = entry
    return found


def _without(known: Mapping[str, Entry], name: str) -> dict[str, Entry]:
    """The entries of all ablations but one."""
    return {each: entry for each, entry in known.items() if not each.startswith(f"{name}/")}


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.4g}")


def _alone(root: Path) -> AbstractContextManager[None]:
    """Only one process at a time may change the lock, from reading it to writing it."""
    waiting = f"waits for another process that changes {LOCK}"
    return Store(root).locked(_HOLDS_LOCK, lambda: say(waiting))


def _write(root: Path, known: dict[str, Entry]) -> None:
    write_atomically(root / LOCK, paces.written(known).encode())
