"""Pin results by name in `config/pins.yaml`, which is committed.

`variorum gc` never removes a pinned result. An ablation may name one as a variant, so that a model
of code that no longer exists is compared with present models. A name has one result for each seed,
or one of a stage that has no seed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError
from variorum.base.locks import LockFile
from variorum.config.setting_errors import ConfigError, did_you_mean
from variorum.identity.spec import Ref
from variorum.store.result import Result, StoreError
from variorum.store.store import Store

PINS = "config/pins.yaml"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
REF = re.compile(r"[a-z]+/[0-9a-f]{12}")

Pins = dict[str, dict[str, Ref]]
"""By name: the result of each seed, or of a stage that has none."""


def _decode(fields: Mapping[str, Any]) -> dict[str, Ref]:
    if not fields:
        raise ValueError
    for part, ref in fields.items():
        if not (isinstance(ref, str) and REF.fullmatch(ref)):
            raise ValueError(part)
    return {part: Ref.parse(ref) for part, ref in fields.items()}


def _order(part: str) -> tuple[bool, int, str]:
    return (False, int(part), "") if part.isdecimal() else (True, 0, part)


FILE = LockFile(
    PINS,
    "# Results that `variorum pin` pinned, by name and seed. `variorum gc` leaves them, and an\n"
    "# ablation may name them: `variants: {before: {pinned: NAME}}`. Commit this file.\n",
    "a seed and its result, as in `1: pretrain/0123456789ab`; `variorum pin` writes such lines",
    _decode,
    lambda results: {part: str(results[part]) for part in sorted(results, key=_order)},
)


def entries(root: Path) -> Pins:
    """Return all pinned results; raises `VariorumError` for a line that is no entry."""
    return FILE.read(root)


def pins(root: Path) -> dict[str, Ref]:
    """Return every pinned result by a name of its own: `before/1`."""
    return {
        f"{name}/{part}": ref
        for name, results in entries(root).items()
        for part, ref in results.items()
    }


# Changing pins


def pin(root: Path, name: str, refs: Iterable[Ref]) -> dict[str, Ref]:
    """Add results to a name; return all results of that name.

    Raises `VariorumError` if one is missing, or differs from the others in more than the seed.
    """
    if not NAME.fullmatch(name):
        raise VariorumError(f"{name}: a name has letters, digits, _ and - alone; choose another")
    store = Store(root)
    with FILE.changing(root) as pinned:
        own = pinned.setdefault(name, {})
        for ref in refs:
            result = store.open(ref)
            part = str(result.spec.settings.get("seed", ref.stage))
            if own.get(part, ref) != ref:
                raise VariorumError(
                    f"{PINS} pins {own[part]} as {name}, {part}; pin {ref} under another name, "
                    f"or first `variorum pin --drop {name}`"
                )
            _refuse_other_kind(store, name, own.values(), result)
            own[part] = ref
    return own


def drop(root: Path, name: str) -> dict[str, Ref]:
    """Remove a name and its pins; return the results that it had."""
    with FILE.changing(root) as pinned:
        if name not in pinned:
            raise VariorumError(_unknown(name, pinned))
        return pinned.pop(name)


def lines(root: Path) -> Iterator[str]:
    """Yield a line for each pin: name, seed, result, and label or remedy."""
    store = Store(root)
    found = pins(root)
    width = max(map(len, found), default=0)
    for name, ref in found.items():
        here = store.exists(ref)
        label = (
            store.peek(ref).run.get("label", "")
            if here
            else "missing: `dvc pull -R results` fetches it"
        )
        yield f"{name:<{width}}  {ref!s:<24} {label}".rstrip()


def _refuse_other_kind(store: Store, name: str, own: Iterable[Ref], result: Result) -> None:
    """Raise `VariorumError` if results of one name would differ in more than the seed."""
    if "seed" not in result.spec.settings:
        return
    for ref in own:
        if not _differ_by_seed(store, ref, result.ref):
            raise VariorumError(
                f"{result.ref} differs from {ref}, which is pinned as {name}, in more than the "
                "seed; pin it under another name"
            )


def _differ_by_seed(store: Store, one: Ref, other: Ref) -> bool:
    """Check whether two results differ only in seeds: their own and their models'.

    Of missing results only the stages are compared.
    """
    if one.stage != other.stage or not (store.exists(one) and store.exists(other)):
        return one.stage == other.stage
    a, b = (store.peek(ref).spec for ref in (one, other))
    if a.code != b.code or {**a.settings, "seed": None} != {**b.settings, "seed": None}:
        return False
    inputs = [dict(spec.upstream) for spec in (a, b)]
    one_model, other_model = (own.pop("model", None) for own in inputs)
    if inputs[0] != inputs[1] or one_model is None or other_model is None:
        return inputs[0] == inputs[1] and one_model == other_model
    return one_model == other_model or _differ_by_seed(store, one_model, other_model)


# As a variant of an ablation


def models(
    root: Path, name: str, seeds: Iterable[int], stage: str, where: str
) -> dict[int, Result]:
    """Return the pinned model of each seed, for the setting at `where`.

    Raises `ConfigError`, in one line, if one is not pinned, is of another stage, or is missing.
    """
    pinned, places, store = entries(root), FILE.lines(root), Store(root)
    if name not in pinned:
        raise ConfigError(f"{where}: {_unknown(name, pinned)}")
    found = {}
    for seed in seeds:
        ref = pinned[name].get(str(seed))
        at = places.get((name, str(seed)), places[(name,)])
        if ref is None:
            raise ConfigError(
                f"{where}: {name} pins no model of seed {seed}, only of "
                f"{', '.join(pinned[name])} ({at}); pin it too (`variorum pin {name} "
                "ABLATION/VARIANT` pins all models of a variant), or leave it out of seeds"
            )
        if ref.stage != stage:
            raise ConfigError(
                f"{where}: {name} pins {ref} ({at}), and the ablation compares models of {stage}; "
                f"pin one of {stage}, or set last_stage to {ref.stage}"
            )
        found[seed] = present(store, ref, at)
    return found


def present(store: Store, ref: Ref, where: str) -> Result:
    """Return a result that a pin needs; raises `ConfigError` if it is missing.

    `where` names the pin in the message.
    """
    try:
        return store.peek(ref)
    except StoreError as error:
        if store.folder(ref).exists():
            raise ConfigError(f"{where}: {error}") from None
        raise ConfigError(
            f"{where}: {ref} is pinned but missing; fetch it with `dvc pull results/{ref}.dvc`"
        ) from None


def _unknown(name: str, pinned: Mapping[str, object]) -> str:
    known = ", ".join(pinned) or "none"
    return (
        f"{PINS} pins nothing as {name};{did_you_mean(name, list(pinned))} known are {known}. "
        f"`variorum pin {name}` pins the current model so"
    )
