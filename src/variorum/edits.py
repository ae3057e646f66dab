"""How two states of the code differ, told by the sources that their fingerprints keep.

Comments, docstrings and formatting are no difference.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import unified_diff

from variorum.components import PACKAGE
from variorum.fingerprint import MEANINGS, kept_meanings, kept_parts, same_syntax

Sources = Mapping[str, str]


def diff(old: Sources, new: Sources, names: tuple[str, str]) -> str:
    """What changed, definition by definition, as a unified diff; `names` are those of the sides."""
    lines: list[str] = []
    for symbol in sorted({*old, *new}):
        before, after = old.get(symbol, ""), new.get(symbol, "")
        if not _same(symbol, before, after):
            sides = [f"{name} {symbol}" for name in names]
            texts = before.splitlines(), after.splitlines()
            lines += unified_diff(*texts, sides[0], sides[1], lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _same(symbol: str, old: str, new: str) -> bool:
    is_code = ":" in symbol and not symbol.endswith(MEANINGS)
    return old == new or (is_code and bool(old and new) and same_syntax(old, new))


def first_difference(old: Sources, new: Sources, modules: Iterable[str]) -> str | None:
    """The first definition of these modules, or of modules below them, that is not the same."""
    sides = [dict(_parts(sources, tuple(modules))) for sources in (old, new)]
    names = sorted(sides[0].keys() | sides[1].keys())
    return next((name for name in names if sides[0].get(name) != sides[1].get(name)), None)


def _parts(sources: Sources, modules: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    """What counts of the definitions, the package data and the imported names of modules."""

    def among(module: str) -> bool:
        return any(f"{module}.".startswith(f"{each}.") for each in modules)

    for name, part in kept_parts(sources).items():
        module, _, definition = name.partition(":")
        if among(module if definition else f"{PACKAGE.name}.{name.replace('/', '.')}"):
            yield name, part.syntax
    for module, names in kept_meanings(sources).items():
        if among(module):
            yield from ((f"{module}:{name}", meanings) for name, meanings in names.items())
