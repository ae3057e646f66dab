"""Find the definitions in which two fingerprints of code differ.

A definition that was only moved or renamed is no difference, as it has no part in the key.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff

from variorum.base.errors import several
from variorum.identity.code_diff import unchanged
from variorum.identity.recorded_code import (
    Part,
    Sources,
    recorded_meanings,
    recorded_parts,
    recorded_turns,
    same_syntax,
    tells_names,
    without_names,
)


class Difference:
    """Describe one way in which two results differ; as text, one line."""

    def details(self) -> Iterator[str]:
        """Yield the lines below that line."""
        yield from ()


@dataclass(frozen=True)
class Edited(Difference):
    """Describe an edited definition or data file; the text is "" if absent."""

    symbol: str
    old: str
    new: str

    def __str__(self) -> str:
        what = "edited" if self.old and self.new else "new" if self.new else "removed"
        return f"{what}: {self.symbol}"

    def details(self) -> Iterator[str]:
        """Yield a diff of the source."""
        before = _without_cosmetics(self.old, self.new)
        shown = unified_diff(before.splitlines(), self.new.splitlines(), lineterm="")
        yield from list(shown)[2:]  # the first two lines name the files


@dataclass(frozen=True)
class Reached(Difference):
    """Describe definitions that an edit added to the code, or removed from it."""

    gained: tuple[str, ...]
    lost: tuple[str, ...]

    def __str__(self) -> str:
        parts = [("now reached", self.gained), ("no longer reached", self.lost)]
        return "; ".join(f"{what}: {several(names)}" for what, names in parts if names)


@dataclass(frozen=True)
class Meaning(Difference):
    """Describe a name in a definition that stands for something else."""

    symbol: str
    name: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"in {self.symbol}, {self.name} is {self.new} instead of {self.old}"


@dataclass(frozen=True)
class Reordered(Difference):
    """Describe a module whose statements run in another order."""

    module: str
    order: str

    def __str__(self) -> str:
        return f"{self.module} runs its statements in another order: {self.order}"


@dataclass(frozen=True)
class Unseen(Difference):
    """Describe code that differs in what the recorded source cannot show."""

    recorded: bool

    def __str__(self) -> str:
        if not self.recorded:
            return "its code differs; where is unknown, as one of the sources was not recorded"
        return (
            "its code differs in what the recorded source does not show, such as which library a "
            "name comes from, or the order of statements"
        )


def code_differences(old: Sources, new: Sources, *, chosen: bool = False) -> list[Difference]:
    """Return how two recorded sources, whose fingerprints differ, differ in what counts.

    With `chosen`, a setting chose another component, so what only one of them holds is no cause.
    """
    if not old or not new:
        return [] if chosen else [Unseen(recorded=False)]
    if not (tells_names(old) and tells_names(new)):
        old, new = without_names(old), without_names(new)
    try:
        before, after = recorded_parts(old), recorded_parts(new)
    except SyntaxError:  # of another Python's
        return [Unseen(recorded=True)]
    shared = before.keys() & after.keys()
    lost = {name: before[name] for name in sorted(before.keys() - shared)}
    gained = {name: after[name] for name in sorted(after.keys() - shared)}
    renamed = dict(_renamed(lost, gained))
    edited: list[Difference] = [
        Edited(name, before[name].text, after[name].text)
        for name in sorted(shared)
        if before[name].syntax != after[name].syntax
    ]
    same = unchanged(old, new)
    edited += _meanings(old, new, renamed, same)
    if chosen:
        return edited
    left = {n: p for n, p in lost.items() if n not in renamed and _of(n) not in same}
    came = {n: p for n, p in gained.items() if n not in renamed.values() and _of(n) not in same}
    found = [*edited, *_one_sided(left, came, edited=bool(edited))]
    return found or list(_reordered(old, new)) or [Unseen(recorded=True)]


def _of(part: str) -> str:
    """Return the top-level definition that a part belongs to."""
    module, _, name = part.partition(":")
    return f"{module}:{name.partition('.')[0]}"


def _one_sided(
    lost: Mapping[str, Part], gained: Mapping[str, Part], *, edited: bool
) -> Iterator[Difference]:
    """Yield what only one side holds, with its text if no edit explains it."""
    if not edited:
        yield from (Edited(name, part.text, "") for name, part in lost.items())
        yield from (Edited(name, "", part.text) for name, part in gained.items())
    elif lost or gained:
        yield Reached(tuple(gained), tuple(lost))


def _renamed(lost: Mapping[str, Part], gained: Mapping[str, Part]) -> Iterator[tuple[str, str]]:
    """Yield pairs of definitions with the same syntax, if each has one match."""
    for old, part in lost.items():
        homes = [new for new, other in gained.items() if other.syntax == part.syntax]
        alike = [name for name, other in lost.items() if other.syntax == part.syntax]
        if len(homes) == len(alike) == 1:
            yield old, homes[0]


def _meanings(
    old: Sources, new: Sources, renamed: Mapping[str, str], same: Set[str]
) -> Iterator[Meaning]:
    """Yield names that stand for something else.

    Names of one side alone follow from an edit.
    """
    before, after = recorded_meanings(old), recorded_meanings(new)
    found: dict[tuple[str, str], Meaning] = {}
    for symbol in sorted((before.keys() & after.keys()) - same):
        for path in sorted(before[symbol].keys() & after[symbol].keys()):
            was = {renamed.get(target, target) for target in before[symbol][path]}
            if was != after[symbol][path] and not {*was, *after[symbol][path]} <= same:
                name, _, rest = path.partition(".")
                texts = (_without(each, rest) for each in (was, after[symbol][path]))
                found.setdefault((symbol, name), Meaning(symbol, name, *texts))
    yield from found.values()


def _without(targets: set[str], rest: str) -> str:
    """Return what the first part of a dotted name stands for."""
    return " and ".join(target.removesuffix(f".{rest}") for target in sorted(targets))


def _reordered(old: Sources, new: Sources) -> Iterator[Reordered]:
    """Yield modules whose statements run in another order.

    With other edits, these explain the order.
    """
    before, after = recorded_turns(old), recorded_turns(new)
    moved = [symbol for symbol, turns in after.items() if turns != before.get(symbol)]
    for module in dict.fromkeys(symbol.partition(":")[0] for symbol in moved):
        here = [symbol for symbol in moved if symbol.partition(":")[0] == module]
        names = [symbol.partition(":")[2] for symbol in sorted(here, key=after.__getitem__)]
        yield Reordered(module, ", ".join(names))


def _without_cosmetics(old: str, new: str) -> str:
    """Return `old` with all cosmetic edits applied, so that a diff omits them."""
    before, after = old.splitlines(), new.splitlines()
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    result = before
    for tag, low, high, start, end in reversed(matcher.get_opcodes()):
        tried = [*result[:low], *after[start:end], *result[high:]]
        if tag != "equal" and same_syntax("\n".join(tried), old):
            result = tried
    return "\n".join(result)
