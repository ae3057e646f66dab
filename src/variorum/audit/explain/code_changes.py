"""Find how two versions of a stage's code differ in what counts, from the sources kept of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff

from variorum.audit.explain.wording import several
from variorum.fingerprint import ORDER, Part, kept_meanings, kept_parts, same_syntax
from variorum.syntax import WHOLE


class Difference:
    """One way in which two results differ; as text, one line for people."""

    def details(self) -> Iterator[str]:
        """Yield what stands below that line."""
        yield from ()


@dataclass(frozen=True)
class Edited(Difference):
    """A definition or file of package data whose text differs in what counts; "" if absent."""

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
        yield from list(shown)[2:]  # the two names are told already


@dataclass(frozen=True)
class Moved(Difference):
    """A definition that stands under another name and is otherwise the same."""

    old: str
    new: str

    def __str__(self) -> str:
        return f"moved: {self.old} -> {self.new}"


@dataclass(frozen=True)
class Reached(Difference):
    """Definitions that an edit made part of the code, and those that are part of it no more."""

    gained: tuple[str, ...]
    lost: tuple[str, ...]

    def __str__(self) -> str:
        parts = [("now reached", self.gained), ("no longer reached", self.lost)]
        return "; ".join(f"{what}: {several(names)}" for what, names in parts if names)


@dataclass(frozen=True)
class Meaning(Difference):
    """A name that comes from another place of another library."""

    module: str
    name: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"in {self.module}, {self.name} is from {self.new} instead of {self.old}"


@dataclass(frozen=True)
class Reordered(Difference):
    """A module whose statements run in another order."""

    module: str
    order: str

    def __str__(self) -> str:
        return f"{self.module} runs its statements in another order: {self.order}"


@dataclass(frozen=True)
class Unseen(Difference):
    """Code that differs in what the kept source cannot show."""

    kept: bool

    def __str__(self) -> str:
        if not self.kept:
            return "its code differs; where is not known, as one of the sources was not kept"
        return (
            "its code differs in what the kept source does not show, such as which library a "
            "name comes from, or the order of statements"
        )


def code_differences(
    old: Mapping[str, str], new: Mapping[str, str], *, chosen: bool = False
) -> list[Difference]:
    """How two kept sources, whose fingerprints differ, differ in what counts.

    With `chosen`, a setting chose another component, so what only one of them holds is no cause.
    """
    if not old or not new:
        return [] if chosen else [Unseen(kept=False)]
    try:
        before, after = kept_parts(old), kept_parts(new)
    except SyntaxError:  # of another Python's
        return [Unseen(kept=True)]
    shared = before.keys() & after.keys()
    edited: list[Difference] = [
        Edited(name, before[name].text, after[name].text)
        for name in sorted(shared)
        if before[name].syntax != after[name].syntax
    ]
    edited += _meanings(old, new)
    if chosen:
        return edited
    lost = {name: before[name] for name in sorted(before.keys() - shared)}
    gained = {name: after[name] for name in sorted(after.keys() - shared)}
    found = [*edited, *_one_sided(lost, gained, edited=bool(edited))]
    return found or list(_reordered(old, new)) or [Unseen(kept=True)]


def _one_sided(
    lost: Mapping[str, Part], gained: Mapping[str, Part], *, edited: bool
) -> Iterator[Difference]:
    """What only one side holds: moved, or in full if no edit explains that it came or went."""
    moved = list(
        _moved(
            {name: part.syntax for name, part in lost.items()},
            {name: part.syntax for name, part in gained.items()},
        )
    )
    yield from moved
    left = [name for name in lost if name not in {pair.old for pair in moved}]
    came = [name for name in gained if name not in {pair.new for pair in moved}]
    if not edited:
        yield from (Edited(name, lost[name].text, "") for name in left)
        yield from (Edited(name, "", gained[name].text) for name in came)
    elif left or came:
        yield Reached(tuple(came), tuple(left))


def _moved(lost: Mapping[str, str], gained: Mapping[str, str]) -> Iterator[Moved]:
    """Pairs of definitions with the same syntax, where that leaves no choice."""
    for old, syntax in sorted(lost.items()):
        homes = [new for new, other in gained.items() if other == syntax]
        if len(homes) == 1 and list(lost.values()).count(syntax) == 1:
            yield Moved(old, homes[0])


def _meanings(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Meaning]:
    """Names that stand for something else; those of one side alone follow from an edit."""
    before, after = kept_meanings(old), kept_meanings(new)
    for module in sorted(before.keys() & after.keys()):
        for name in sorted((before[module].keys() & after[module].keys()) - {ORDER}):
            if before[module][name] != after[module][name]:
                texts = (_meant(names[module][name]) for names in (before, after))
                yield Meaning(module, name, *texts)


def _meant(names: set[str]) -> str:
    """The imports that give a name its meanings."""
    parts = (name.partition(":") for name in sorted(names))
    return " and ".join(
        f"`from {module} import {name}`" if name not in ("", WHOLE) else f"`import {module}`"
        for module, _, name in parts
    )


def _reordered(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Reordered]:
    """Where statements run in another order; with other edits the order differs because of them."""
    before, after = kept_meanings(old), kept_meanings(new)
    for module in sorted(before.keys() & after.keys()):
        order = after[module].get(ORDER, set())
        if order != before[module].get(ORDER, set()):
            yield Reordered(module, ", ".join(sorted(order)))


def _without_cosmetics(old: str, new: str) -> str:
    """Make those edits of `old` that change nothing, so that a diff shows the others alone."""
    before, after = old.splitlines(), new.splitlines()
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    kept = before
    for tag, low, high, start, end in reversed(matcher.get_opcodes()):
        tried = [*kept[:low], *after[start:end], *kept[high:]]
        if tag != "equal" and same_syntax("\n".join(tried), old):
            kept = tried
    return "\n".join(kept)
