"""Explanations as text for people: each difference in a line, with a diff where there is code."""

import json
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher, unified_diff
from itertools import groupby
from typing import Any

from variorum.audit.explain.differences import (
    NOT_SET,
    Absent,
    Bytes,
    Cause,
    Code,
    Difference,
    Edited,
    Inputs,
    Library,
    Meaning,
    Moved,
    Reached,
    Reordered,
    Setting,
    Step,
    Unseen,
)
from variorum.fingerprint import same_syntax
from variorum.store import KEY_LENGTH, Ref

SHOWN = 5
"""How many names a list shows before it only counts."""

FEW = 2
"""How many causes are told in part of a line."""

WIDEST = 80
"""How many characters of a value are shown."""


def in_lines(causes: Iterable[Cause]) -> Iterator[str]:
    """Causes for people, below the results that they are in."""
    for chain, here in groupby(causes, key=lambda cause: cause.chain):
        yield ""
        yield _place(chain)
        for cause in here:
            also = several(list(dict.fromkeys(map(_called, cause.also))))
            yield f"  {in_short(cause.difference)}{', also in ' if also else ''}{also}"
            yield from (f"    {line}".rstrip() for line in _details(cause.difference))


def in_few(causes: Sequence[Cause]) -> str:
    """The nearest causes in part of a line."""
    if not causes:
        return "it differs from all that was made before"
    chain = causes[0].chain
    nearest = [cause for cause in causes if cause.chain == chain]
    told = "; ".join(in_short(cause.difference) for cause in nearest[:FEW])
    more = f"; and {len(nearest) - FEW} more" if len(nearest) > FEW else ""
    last = chain[-1].new.ref
    follows = f"follows {last.stage} {in_brief(last)}: " if len(chain) > 1 else ""
    return follows + told + more


def in_brief(ref: Ref) -> str:
    """The beginning of a key."""
    return f"{ref.key[: KEY_LENGTH // 2]}…"


def several(names: Sequence[str]) -> str:
    """Names, of many only some."""
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return ", ".join([*names[:SHOWN], *more])


def in_short(difference: Difference) -> str:
    """A difference in one line."""
    match difference:
        case Setting():
            return f"{difference.name} {_change(difference)}{_origins(difference)}"
        case Bytes(setting):
            source = setting.name.removesuffix(".sha256")
            hashes = [_value(value)[:KEY_LENGTH] + "…" for value in (setting.old, setting.new)]
            return f"the bytes of {source}, sha256 {' -> '.join(hashes)}{_origins(setting)}"
        case Library(name, old, new):
            return f"library {name} {old or 'none'} -> {new or 'none'}"
        case Inputs(name, old, new):
            return f"{name} is {new or 'no input'} instead of {old or 'none'}"
        case Absent(ref, pinned):
            pull = f": `dvc pull results/{ref}.dvc` brings it" if pinned else ", nor pinned by DVC"
            return f"{ref} differs, but it is not here to tell in what{pull}"
        case _:
            return _code_in_short(difference)


def _code_in_short(difference: Code) -> str:
    match difference:
        case Edited(symbol, old, new):
            return f"{'edited' if old and new else 'new' if new else 'removed'}: {symbol}"
        case Moved(old, new):
            return f"moved: {old} -> {new}"
        case Reached(gained, lost):
            parts = [("now reached", gained), ("no longer reached", lost)]
            return "; ".join(f"{what}: {several(names)}" for what, names in parts if names)
        case Meaning(module, name, old, new):
            return f"in {module}, {name} is from {new} instead of {old}"
        case Reordered(module, order):
            return f"{module} runs its statements in another order: {order}"
        case Unseen(kept=True):
            return (
                "its code differs in what the kept source does not show, such as which library a "
                "name comes from, or the order of statements"
            )
        case Unseen():
            return "its code differs; where is not known, as one of the sources was not kept"


def _place(chain: tuple[Step, ...]) -> str:
    *after, last = chain
    keys = f"{last.old.ref.key} -> {last.new.ref.key}"
    then = [_called(step) for step in reversed(after)]
    return f"{_called(last)}, {keys}{', then ' if then else ''}{', '.join(then)}:"


def _called(step: Step) -> str:
    return " ".join(filter(None, (step.new.ref.stage, step.new.label or step.old.label)))


def _change(setting: Setting) -> str:
    old, new = setting.old, setting.new
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        changes = [("without", old, new), ("with", new, old)]
        parts = [
            f"{word} {several([_value(item) for item in these if item not in those])}"
            for word, these, those in changes
            if any(item not in those for item in these)
        ]
        return ", ".join(parts) or "in another order"
    return f"{_value(old)} -> {_value(new)}"


def _value(value: Any) -> str:
    if value is NOT_SET:
        return "(not set)"
    if isinstance(value, dict):
        return "/".join(map(str, value.values()))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split()) or "''"
    return text if len(text) <= WIDEST else f"{text[:WIDEST]}…"


def _origins(setting: Setting) -> str:
    if setting.old_at and not setting.new_at:
        return f" (before: {setting.old_at})"
    origins = list(dict.fromkeys(filter(None, (setting.old_at, setting.new_at))))
    return f" ({' -> '.join(origins)})" if origins else ""


def _details(difference: Difference) -> Iterator[str]:
    match difference:
        case Edited(_, old, new):
            before = _without_cosmetics(old, new)
            shown = unified_diff(before.splitlines(), new.splitlines(), lineterm="")
            yield from list(shown)[2:]  # the two names are told already
        case Bytes(documents=found) if found:
            for what in ("added", "removed", "changed"):
                if names := getattr(found, what):
                    yield f"{len(names)} {what}: {several(names)}"


def _without_cosmetics(old: str, new: str) -> str:
    """`old` with those edits made that change nothing, so that a diff shows the others alone."""
    before, after = old.splitlines(), new.splitlines()
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    kept = before
    for tag, low, high, start, end in reversed(matcher.get_opcodes()):
        tried = [*kept[:low], *after[start:end], *kept[high:]]
        if tag != "equal" and same_syntax("\n".join(tried), old):
            kept = tried
    return "\n".join(kept)
