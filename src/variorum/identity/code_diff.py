"""Show how two states of the code differ, by the sources that results record.

Comments, docstrings and formatting are no difference.
"""

from collections.abc import Iterable, Iterator
from difflib import unified_diff

from variorum.base.components import PACKAGE
from variorum.identity.fingerprint import MEANINGS
from variorum.identity.recorded_code import (
    Sources,
    is_definition,
    recorded_hashes,
    recorded_meanings,
    recorded_parts,
    same_syntax,
)


def diff(old: Sources, new: Sources, names: tuple[str, str]) -> str:
    """Return what changed, definition by definition, as a unified diff between named sides."""
    lines: list[str] = []
    same = unchanged(old, new)
    for entry in sorted({*old, *new}):
        definition = entry.removesuffix(MEANINGS)
        before, after = old.get(entry, ""), new.get(entry, "")
        is_shown = definition not in same and before != after
        if entry == definition:
            is_shown = is_shown and not (before and after and _same(entry, before, after))
        else:  # what its names stand for; where it was edited itself, that shows in its source
            is_shown = is_shown and old.get(definition) == new.get(definition) and ":" in definition
        if is_shown:
            sides = [f"{name} {entry}" for name in names]
            texts = before.splitlines(), after.splitlines()
            lines += unified_diff(*texts, sides[0], sides[1], lineterm="")
    return "".join(f"{line}\n" for line in lines)


def unchanged(old: Sources, new: Sources) -> set[str]:
    """Return the definitions that the other side has too, under any name."""
    try:
        sides = [recorded_hashes(sources) for sources in (old, new)]
    except (SyntaxError, ValueError):  # of another Python, or damaged
        return set()
    shared = set(sides[0].values()) & set(sides[1].values())
    return {name for side in sides for name, digest in side.items() if digest in shared}


def _same(entry: str, old: str, new: str) -> bool:
    return is_definition(entry) and same_syntax(old, new)


def first_difference(old: Sources, new: Sources, modules: Iterable[str]) -> str | None:
    """Return the first definition in or below these modules that differs."""
    sides = [dict(_parts(sources, tuple(modules))) for sources in (old, new)]
    names = sorted(sides[0].keys() | sides[1].keys())
    return next((name for name in names if sides[0].get(name) != sides[1].get(name)), None)


def _parts(sources: Sources, modules: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    """Yield the definitions, package data and imported names of modules."""

    def among(module: str) -> bool:
        return any(f"{module}.".startswith(f"{each}.") for each in modules)

    for name, part in recorded_parts(sources).items():
        module, _, definition = name.partition(":")
        if among(module if definition else f"{PACKAGE.name}.{name.replace('/', '.')}"):
            yield name, part.syntax
    for name, meanings in recorded_meanings(sources).items():
        if among(name.partition(":")[0]):
            yield from ((f"{name} {local}", found) for local, found in meanings.items())
