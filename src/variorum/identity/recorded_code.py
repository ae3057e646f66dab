"""Read the code that a result was made by, as its `code.json` records it.

`code.json` holds the source of each definition that a stage reached and, under the same name with
`: names`, what the names in it stand for. That is all a fingerprint is made of, so it can be
computed again, and two records can be compared definition by definition.
"""

import ast
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from variorum.identity.definitions import Definition, Target, hashed
from variorum.identity.fingerprint import MEANINGS, ROOTS, joined_digest
from variorum.identity.modules import LOOSE
from variorum.identity.package_code import role_in_statement
from variorum.identity.scopes import DEFINITIONS, FUNCTIONS
from variorum.identity.syntax import (
    DEFINING,
    Dotted,
    Reading,
    bound_names,
    effective,
    parsed,
    read,
    span,
)

Sources = Mapping[str, str]
"""Texts of `code.json`, by `module:name`, `module:name: names`, or the path of data."""

TURN = "turn "
_REFERENCE = "…"
"""In place of every definition that a part refers to: it is compared by itself."""

_TEXTS = 4096
"""How many sources are kept once read: most are the same in every record of a project."""


def is_definition(name: str) -> bool:
    """Check whether an entry of a record is the source of a definition."""
    return ":" in name and not name.endswith(MEANINGS)


def tells_names(sources: Sources) -> bool:
    """Check whether a record says what names stand for; older ones do not."""
    return f"{ROOTS}{MEANINGS}" in sources


def without_names(sources: Sources) -> Sources:
    """Return the sources of a record alone."""
    return {name: text for name, text in sources.items() if not name.endswith(MEANINGS)}


def recorded_digest(sources: Sources) -> str | None:
    """Return the fingerprint of a record; None if an older format wrote it.

    Raises `SyntaxError` or `ValueError` for a damaged record.
    """
    if not tells_names(sources):
        return None
    roots = {path[0]: targets[0].node for path, targets in _names(sources, ROOTS).items()}
    hashes = recorded_hashes(sources)
    loose = {node: digest for node, digest in hashes.items() if node.endswith(f":{LOOSE}")}
    return joined_digest({name: hashes.get(node, "") for name, node in roots.items()}, loose)


def recorded_hashes(sources: Sources) -> dict[str, str]:
    """Return the hash by content of each recorded definition."""
    names = {name.removesuffix(MEANINGS) for name in sources if ":" in name} - {ROOTS}
    return hashed({name: _definition(sources, name) for name in names}, {})


def _definition(sources: Sources, name: str) -> Definition:
    statements = _statements(sources.get(name, ""))
    own = name.partition(":")[2]
    data: dict[str, list[tuple[str, str]]] = {}
    turns = []
    for left, right in _lines(sources, name):
        if left.startswith(TURN):
            turns.append((left, _target(right)))
        elif _is_text(left):
            digest = sha256(sources.get(right, "").encode()).hexdigest()
            data.setdefault(str(ast.literal_eval(left)), []).append((right, digest))
    return Definition(
        tuple(reading for _, _, reading in statements),
        tuple(role_in_statement(own, defines, names) for defines, names, _ in statements),
        _names(sources, name),
        {text: tuple(files) for text, files in data.items()},
        tuple(turns),
    )


@lru_cache(maxsize=_TEXTS)
def _statements(text: str) -> tuple[tuple[bool, tuple[str, ...], Reading], ...]:
    """Return whether each statement that counts is a definition, its names, and its syntax."""
    return tuple(
        (isinstance(node, DEFINITIONS), tuple(bound_names(node)), read(node))
        for node in effective(parsed(text).body)
    )


def _lines(sources: Sources, name: str) -> Iterator[tuple[str, str]]:
    for line in sources.get(f"{name}{MEANINGS}", "").splitlines():
        left, _, right = line.rpartition(" is ")
        yield left, right


def _is_text(left: str) -> bool:
    return left[:1] in ("'", '"')


def _names(sources: Sources, name: str) -> dict[Dotted, tuple[Target, ...]]:
    found: dict[Dotted, list[Target]] = {}
    for left, right in _lines(sources, name):
        if name == ROOTS:  # an option and a name joined by a dot
            found.setdefault((left,), []).append(_target(right))
        elif not left.startswith(TURN) and not _is_text(left):
            found.setdefault(tuple(left.split(".")), []).append(_target(right))
    return {path: tuple(sorted(targets)) for path, targets in found.items()}


def _target(text: str) -> Target:
    module, colon, tail = text.partition(":")
    if not colon or module == "outside":
        return Target("", text)
    name, _, rest = tail.partition(".")
    return Target(f"{module}:{name}", rest)


# Comparing two records


@dataclass(frozen=True)
class Part:
    """Hold a recorded definition: its text, and its syntax without references."""

    text: str
    syntax: str


def recorded_parts(sources: Sources) -> dict[str, Part]:
    """Return what a record defines: functions, methods, the rest of a class, assignments, data.

    A definition has its own name, a method `module:Class.method`. Two parts with one
    syntax differ by comments, docstrings, formatting, annotations or names of definitions at most.
    """
    found: dict[str, Part] = {}
    for name, text in sources.items():
        if name.endswith(MEANINGS):
            continue
        if not is_definition(name):
            found[name] = Part(text, text)
            continue
        names = _names(sources, name)
        pieces: dict[str, list[tuple[str, str]]] = {}
        for part, inner, reading in _pieces(text, name.partition(":")[2]):
            syntax = reading.filled(lambda path: _shown(names.get(path, ()), path))  # noqa: B023
            pieces.setdefault(f"{name.partition(':')[0]}:{part}", []).append((inner, syntax))
        for part, texts in pieces.items():
            found[part] = Part(*("\n".join(each) for each in zip(*texts, strict=True)))
    return found


def _shown(targets: tuple[Target, ...], path: Dotted) -> str:
    """Return the name, or a placeholder for a definition, which is compared by itself."""
    shown = {f"{_REFERENCE}{target.rest}" for target in targets if target.node}
    return "|".join(sorted(shown)) or ".".join(path)


def recorded_meanings(sources: Sources) -> dict[str, dict[str, set[str]]]:
    """Return what each name in a definition stands for, by definition."""
    found: dict[str, dict[str, set[str]]] = {}
    for entry in sources:
        name = entry.removesuffix(MEANINGS)
        if entry.endswith(MEANINGS) and name != ROOTS:
            names = found.setdefault(name, {})
            for left, right in _lines(sources, name):
                if not left.startswith(TURN):
                    names.setdefault(left, set()).add(right)
    return found


def recorded_turns(sources: Sources) -> dict[str, list[str]]:
    """Return the places of definitions among statements whose order matters."""
    names = [name.removesuffix(MEANINGS) for name in sources if name.endswith(MEANINGS)]
    turns = {
        name: [left for left, _ in _lines(sources, name) if left.startswith(TURN)] for name in names
    }
    return {name: found for name, found in turns.items() if found}


def same_syntax(one: str, other: str) -> bool:
    """Check whether two texts of a definition differ by nothing that counts."""
    try:
        return _syntax(one) == _syntax(other)
    except SyntaxError:
        return one == other


def _syntax(text: str) -> list[str]:
    inside = text[:1].isspace()  # a method
    body = parsed(f"if 1:\n{text}" if inside else text).body
    return [read(node).written for node in effective(body)]


@lru_cache(maxsize=_TEXTS)
def _pieces(text: str, symbol: str) -> tuple[tuple[str, str, Reading], ...]:
    """Return name, text and reading of each definition in a recorded source."""
    return tuple(_read_pieces(text, symbol))


def _read_pieces(text: str, symbol: str) -> Iterator[tuple[str, str, Reading]]:
    lines = text.split("\n")
    for node in effective(parsed(text).body):
        if not isinstance(node, ast.ClassDef):
            name = ", ".join(bound_names(node)) if isinstance(node, DEFINING) else ""
            yield name or symbol, "\n".join(lines[slice(*span(node))]), read(node)
            continue
        methods = [inner for inner in node.body if isinstance(inner, FUNCTIONS)]
        inside = {line for method in methods for line in range(*span(method))}
        rest = [lines[line] for line in range(*span(node)) if line not in inside]
        shell = copy(node)
        shell.body = [inner for inner in node.body if inner not in methods]
        yield node.name, "\n".join(rest), read(shell)
        for method in methods:
            written = "\n".join(lines[slice(*span(method))])
            yield f"{node.name}.{method.name}", written, read(method)
