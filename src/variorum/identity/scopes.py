"""Find which names a function, class or comprehension binds, hiding the module's.

A pure function of a syntax tree, the same on every Python from 3.11 on; `symtable` is not, as
comprehensions lost their own scopes in 3.12 (PEP 709).
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
IMPORTS = (ast.Import, ast.ImportFrom)
_LEAVES = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.Constant)
"""Nodes that bind nothing and have no nodes below them: half of all."""


@dataclass(frozen=True)
class Scope:
    """Hold the names bound inside one function, class or comprehension.

    local: hide names of the module. declared: `global` here, so they are names of the module.
    """

    local: frozenset[str]
    declared: frozenset[str] = field(default=frozenset())
    is_class: bool = False


def function_scope(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Scope:
    """Return the names that a function binds.

    Imported names are not local: they lead to other modules.
    """
    body = node.body if isinstance(node.body, list) else [node.body]
    found = _Bound()
    found.add(body)
    local = {*_arguments(node.args), *found.names} - found.imported - found.declared
    return Scope(frozenset(local - found.outer), frozenset(found.declared))


def class_scope(node: ast.ClassDef) -> Scope:
    """Return the scope of a class's body.

    What it binds is an attribute and hides nothing.
    """
    found = _Bound()
    found.add(node.body)
    return Scope(frozenset(), frozenset(found.declared), is_class=True)


def comprehension_scope(generators: Iterable[ast.comprehension]) -> Scope:
    """Return the loop variables of a comprehension."""
    names = {
        node.id
        for generator in generators
        for node in ast.walk(generator.target)
        if isinstance(node, ast.Name)
    }
    return Scope(frozenset(names))


def is_of_module(name: str, scopes: list[Scope]) -> bool:
    """Check whether `name`, read inside of these scopes (outermost first), is the module's."""
    for depth, scope in enumerate(reversed(scopes)):
        if scope.is_class and depth:
            continue  # methods do not see the names of their class
        if name in scope.declared:
            return True
        if name in scope.local:
            return False
    return True


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [each for each in (arguments.vararg, arguments.kwarg) if each]
    yield from (each.arg for each in every)


@dataclass
class _Bound:
    """Collect the names that statements bind, except in inner functions."""

    names: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)
    declared: set[str] = field(default_factory=set)
    outer: set[str] = field(default_factory=set)

    def add(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            if not isinstance(node, _LEAVES):
                self._node(node)

    def _node(self, node: ast.AST) -> None:
        match node:
            case ast.Global():
                self.declared.update(node.names)
            case ast.Nonlocal():
                self.outer.update(node.names)
            case ast.Import() | ast.ImportFrom():
                self.imported.update((a.asname or a.name).split(".")[0] for a in node.names)
            case ast.Name(ctx=ast.Store() | ast.Del()):
                self.names.add(node.id)
            case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar():
                self.names.update([node.name] if node.name else [])
            case ast.MatchMapping():
                self.names.update([node.rest] if node.rest else [])
        if isinstance(node, DEFINITIONS):
            self.names.add(node.name)
            self.add(node.decorator_list)  # with the defaults: `:=` may stand in them
        elif isinstance(node, COMPREHENSIONS):
            self.add(inner for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
        elif isinstance(node, ast.NamedExpr):
            self.names.add(node.target.id)
            self._node(node.value)
        elif not isinstance(node, ast.Lambda):
            self.add(ast.iter_child_nodes(node))
