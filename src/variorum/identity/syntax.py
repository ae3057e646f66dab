"""Write the syntax of a statement, with a slot for every name of its module.

A pure function of the text: nothing is imported or run, and no other file is read.

The syntax is written out here because `ast.dump` and `ast.unparse` differ between Python versions;
this is the same on every Python from 3.11 on. Whatever has no effect is left out: comments,
docstrings and other bare constants, `pass`, formatting, annotations of functions and of variables
inside of them, and imports inside of functions. Annotations of classes count: dataclasses are made
from them.

A name of the module, or a dotted path that begins with one, becomes a slot (`Dotted`); what it
leads to is filled in later. The names that a top-level statement itself defines are left out: only
their places among the names it defines are written. So neither renaming nor moving a definition
changes what is written of it.
"""

import ast
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from variorum.identity.scopes import (
    COMPREHENSIONS,
    DEFINITIONS,
    FUNCTIONS,
    IMPORTS,
    Scope,
    class_scope,
    comprehension_scope,
    function_scope,
    is_of_module,
)

Dotted = tuple[str, ...]
"""A dotted name, taken apart."""

ASSIGNING = (ast.Assign, ast.AnnAssign, ast.AugAssign)
DEFINING = (*DEFINITIONS, *ASSIGNING)

_SILENT = frozenset({"ctx", "type_comment", "kind", "type_params", "returns", "simple"})
_BODIES = frozenset({"body", "orelse", "finalbody"})
_LONGEST_LITERAL = 200
"""Texts longer than this are not taken for the name of a file."""


def parsed(source: str) -> ast.Module:
    """Return the tree of a source text; raises `SyntaxError`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def effective(body: Iterable[ast.stmt]) -> list[ast.stmt]:
    """Return the statements that do something: no docstrings, other constants, or `pass`."""
    return [
        statement
        for statement in body
        if not isinstance(statement, ast.Pass)
        and not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    ]


def span(node: ast.stmt) -> tuple[int, int]:
    """Return the lines of a statement with its decorators.

    Lines count from 0; the last one is excluded.
    """
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    return first - 1, node.end_lineno or first


def bound_names(statement: ast.stmt) -> list[str]:
    """Return the names a top-level statement defines; a block, of all branches."""
    return list(dict.fromkeys(_bound(statement)))


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield names that a node binds, except inside inner functions and classes."""
    if isinstance(node, DEFINITIONS):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif not isinstance(node, ast.Lambda):
        for name, value in ast.iter_fields(node):
            if isinstance(node, ast.comprehension) and name == "target":
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _bound(child)


@dataclass(frozen=True)
class Reading:
    """Hold the syntax of a statement.

    parts: its syntax; texts, and slots for the dotted names it uses of its module.
    literals: its texts of one line, which may name files.
    """

    parts: tuple[str | Dotted, ...]
    literals: frozenset[str]

    @cached_property
    def mentions(self) -> frozenset[Dotted]:
        """Return the dotted names it uses."""
        return frozenset(part for part in self.parts if isinstance(part, tuple))

    def filled(self, meaning: Callable[[Dotted], str]) -> str:
        """Return the syntax with each slot filled by the meaning of its name."""
        return "".join(p if isinstance(p, str) else f"<{meaning(p)}>" for p in self.parts)

    @cached_property
    def written(self) -> str:
        """Return the syntax with the names as they stand in the source."""
        return self.filled(".".join)


def read(tree: ast.AST) -> Reading:
    """Return what counts of a statement or expression at the top level of a module."""
    reader = _Reader({name: f"own:{i}" for i, name in enumerate(dict.fromkeys(_bound(tree)))})
    reader.write(tree)
    return Reading(tuple(_merged(reader.parts)), frozenset(reader.literals))


def _merged(parts: Iterable[str | Dotted]) -> Iterator[str | Dotted]:
    """Join adjacent texts."""
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        if texts:
            yield "".join(texts)
            texts.clear()
        yield part
    if texts:
        yield "".join(texts)


@dataclass
class _Reader:
    own: dict[str, str]
    """In place of a name that the whole statement defines."""
    parts: list[str | Dotted] = field(default_factory=list)
    literals: set[str] = field(default_factory=set)
    scopes: list[Scope] = field(default_factory=list)

    @property
    def _in_function(self) -> bool:
        return bool(self.scopes) and not self.scopes[-1].is_class

    def write(self, value: object) -> None:
        match value:
            case ast.Name():
                self._name(value)
            case ast.Attribute() if path := dotted_path(value):
                self._use(path)
            case ast.JoinedStr():
                self._listed("JoinedStr", _joined(value.values))
            case ast.Global():
                self._listed("Global", [ast.Name(name, ast.Load()) for name in value.names])
            case ast.Constant():
                self._note(value.value)
                self._node(value)
            case ast.AST() if isinstance(value, COMPREHENSIONS):
                self._comprehension(value)
            case ast.AST():
                self._node(value)
            case list():
                self._list(value)
            case str():  # which characters repr() escapes depends on Python's Unicode
                self.parts.append(f"str:{value!a}")
            case _:
                self.parts.append(f"{type(value).__name__}:{value!r}")

    def _listed(self, kind: str, values: list[ast.expr]) -> None:
        self.parts.append(f"({kind} ")
        self._list(values)
        self.parts.append(")")

    def _list(self, values: list[object] | list[ast.expr] | list[ast.stmt]) -> None:
        self.parts.append("[")
        for number, value in enumerate(values):
            self.parts.append(" " if number else "")
            self.write(value)
        self.parts.append("]")

    def _name(self, node: ast.Name) -> None:
        is_read = isinstance(node.ctx, ast.Load)
        if not self.scopes and not is_read and node.id in self.own:
            self.parts.append(f"({self.own[node.id]})")
        elif is_read or any(node.id in scope.declared for scope in self.scopes[-1:]):
            self._use((node.id,))
        else:
            self.parts.append(f"(Name id=str:{node.id!a})")

    def _use(self, path: Dotted) -> None:
        """Append a slot for a name of the module, or the syntax of another."""
        first, *attributes = path
        if is_of_module(first, self.scopes):
            self.parts.append(path)
            return
        written = f"(Name id=str:{first!a})"
        for name in attributes:
            written = f"(Attribute value={written} attr=str:{name!a})"
        self.parts.append(written)

    def _note(self, value: object) -> None:
        """Record a text that may name a file."""
        if isinstance(value, str) and 0 < len(value) < _LONGEST_LITERAL and "\n" not in value:
            self.literals.add(value)

    def _node(self, node: ast.AST) -> None:
        self.parts.append(f"({type(node).__name__}")
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None or value == [] or name in _SILENT or self._is_idle(node, name):
                continue  # newer Pythons add empty fields
            self.parts.append(f" {name}=")
            self._field(node, name, value)
        self.parts.append(")")

    def _field(self, node: ast.AST, name: str, value: object) -> None:
        if isinstance(node, DEFINITIONS) and name == "name" and not self.scopes:
            self.parts.append(self.own.get(node.name, f"str:{node.name!a}"))
            return
        inner = _scope_of(node) if name == "body" else None
        self.scopes += [inner] if inner else []
        if name in _BODIES and isinstance(value, list):
            value = effective(value)
            if self._in_function:
                value = [each for each in value if not isinstance(each, IMPORTS)]
        self.write(value)
        if inner:
            self.scopes.pop()

    def _comprehension(self, node: ast.AST) -> None:
        """Write a comprehension, its first iterable outside of its scope, as Python reads it."""
        generators: list[ast.comprehension] = node.generators  # type: ignore[attr-defined]
        self.parts.append(f"({type(node).__name__} first=")
        self.write(generators[0].iter)
        self.scopes.append(comprehension_scope(generators))
        for name in ("elt", "key", "value"):
            if hasattr(node, name):
                self.parts.append(f" {name}=")
                self.write(getattr(node, name))
        for number, each in enumerate(generators):
            self.parts.append(f" for{'-async' if each.is_async else ''}=")
            self.write([each.target, *each.ifs, *([each.iter] if number else [])])
        self.scopes.pop()

    def _is_idle(self, node: ast.AST, name: str) -> bool:
        """Check whether a field is an annotation that nothing evaluates."""
        return name == "annotation" and (self._in_function or isinstance(node, ast.arg))


def _scope_of(node: ast.AST) -> Scope | None:
    """Return the scope that the body of a node opens."""
    if isinstance(node, ast.ClassDef):
        return class_scope(node)
    return function_scope(node) if isinstance(node, (*FUNCTIONS, ast.Lambda)) else None


def dotted_path(node: ast.expr) -> Dotted:
    """Return the parts of `a.b.c`; empty for anything but names joined by dots."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """Return the parts of an f-string, with adjacent plain texts joined.

    Pythons divide plain text differently.
    """
    joined: list[ast.expr] = []
    for value in values:
        if isinstance(value, ast.Constant):
            last = joined[-1] if joined else None
            if isinstance(last, ast.Constant):
                joined[-1] = ast.Constant(str(last.value) + str(value.value))
                continue
            if not value.value:
                continue
        joined.append(value)
    return joined
