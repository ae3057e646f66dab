"""Hash definitions by content: their syntax and the hashes of their references.

The name and the place of a definition decide nothing, so moving or renaming it, splitting a module
or merging two changes no hash. Definitions that refer to each other in a circle are hashed by
rounds: in each, a member's hash is made of its syntax and of the others' hashes of the round
before, as in the refinement of colours by Weisfeiler and Leman (1968). Two members keep one hash
only if nothing that they lead to, however far, distinguishes them.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from variorum.identity.syntax import Dotted, Reading


@dataclass(frozen=True, order=True)
class Target:
    """Describe what a dotted name stands for.

    node: the definition (`module:name`) that counts, or "". rest: attributes of that definition;
    without one, the dotted name in a library, or the name of what does not count.
    """

    node: str
    rest: str = ""

    def __str__(self) -> str:
        return f"{self.node}.{self.rest}" if self.node and self.rest else self.node or self.rest


@dataclass(frozen=True)
class Definition:
    """Hold the content of one definition.

    readings: its statements. places: for each of them, which of the names it defines is meant.
    names: what the dotted names in it stand for. data: the files that each of its texts names, as
    (path, SHA-256). turns: its places among statements that use one thing while a module is
    imported, as (place, what they use).
    """

    readings: tuple[Reading, ...]
    places: tuple[str, ...]
    names: Mapping[Dotted, tuple[Target, ...]]
    data: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    turns: tuple[tuple[str, Target], ...] = ()

    def nodes(self) -> Iterator[str]:
        """Yield the definitions that it refers to."""
        for targets in self.names.values():
            yield from (target.node for target in targets if target.node)
        yield from (target.node for _, target in self.turns if target.node)

    def meanings(self) -> Iterator[str]:
        """Yield a line for each meaning that the text alone does not show."""
        for path, targets in sorted(self.names.items()):
            yield from (f"{'.'.join(path)} is {target}" for target in targets)
        for text, files in sorted(self.data.items()):
            yield from (f"{text!a} is {file}" for file, _ in files)
        yield from (f"{place} is {target}" for place, target in self.turns)

    def digest(self, hash_of: Callable[[str], str]) -> str:
        """Return the SHA-256 of its content, given the hash of each definition it refers to."""

        def shown(target: Target) -> str:
            return str(Target(hash_of(target.node), target.rest)) if target.node else target.rest

        def meaning(path: Dotted) -> str:
            targets = self.names.get(path, ())
            return "|".join(sorted(map(shown, targets))) or f"{'.'.join(path)}"

        lines = [
            f"{place} {reading.filled(meaning)}"
            for place, reading in zip(self.places, self.readings, strict=True)
        ]
        if not self.readings:  # a module as a value
            lines += sorted(f"{'.'.join(path)} {meaning(path)}" for path in self.names)
        for text, files in sorted(self.data.items()):
            lines += sorted(f"{text!a} {PurePosixPath(file).name} {sha}" for file, sha in files)
        lines += sorted(f"{place} {shown(target)}" for place, target in self.turns)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def hashed(definitions: Mapping[str, Definition], known: Mapping[str, str]) -> dict[str, str]:
    """Return the hash of each definition; what these refer to is among them or `known`.

    A reference to anything else is hashed as such (`absent`).
    """
    edges = {
        name: [node for node in each.nodes() if node in definitions]
        for name, each in definitions.items()
    }
    hashes: dict[str, str] = {}

    def hash_of(node: str) -> str:
        return hashes.get(node) or known.get(node) or "absent"

    for group in circles(edges):
        if len(group) == 1 and group[0] not in edges[group[0]]:
            hashes[group[0]] = definitions[group[0]].digest(hash_of)
            continue
        # two circles of n members that differ do so within 2n - 1 rounds (Moore 1956, theorem 6)
        hashes |= dict.fromkeys(group, f"circle of {len(group)}")
        for _ in range(2 * len(group)):
            hashes |= {name: definitions[name].digest(hash_of) for name in group}
    return hashes


def circles(edges: Mapping[str, Iterable[str]]) -> Iterator[list[str]]:
    """Yield the strongly connected components, each after those it leads to (Tarjan 1972)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    on_path: set[str] = set()

    def enter(name: str) -> tuple[str, Iterator[str]]:
        index[name] = lowest[name] = len(index)
        path.append(name)
        on_path.add(name)
        return name, iter(edges[name])

    for start in edges:
        stack = [] if start in index else [enter(start)]
        while stack:
            name, targets = stack[-1]
            for target in targets:
                if target not in index:
                    stack.append(enter(target))
                    break
                if target in on_path:
                    lowest[name] = min(lowest[name], index[target])
            else:
                stack.pop()
                if stack:
                    lowest[stack[-1][0]] = min(lowest[stack[-1][0]], lowest[name])
                if lowest[name] == index[name]:
                    place = path.index(name)
                    on_path.difference_update(path[place:])
                    yield path[place:]
                    del path[place:]
