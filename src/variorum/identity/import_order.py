"""Find statements whose order on import matters: they use one thing that may change.

`A = next(N)` and `B = next(N)` have equal syntax and different values. So the place of such a
statement among all that use `N` while the module is imported is part of its content. What cannot
change, such as a number or a text, may be used in any order. Statements of which each needs the one
before, and none a later one, have no other order.
"""

import ast
from collections.abc import Iterator
from functools import cached_property
from typing import Protocol

from variorum.identity.definitions import Target
from variorum.identity.modules import Source, Statement, runs_on_import
from variorum.identity.syntax import ASSIGNING, Dotted, dotted_path

_UNCHANGING = frozenset({"bool", "bytes", "float", "frozenset", "int", "str"})
"""Built-in types whose values cannot change."""


class Names(Protocol):
    """Describe what `ImportOrder` asks of the code around a module."""

    def nodes_of(self, node: str) -> frozenset[str]:
        """Return the definitions that a definition refers to."""

    def statements_of(self, node: str) -> list[Statement]:
        """Return the statements of a definition."""

    def leads_to(self, source: Source, path: Dotted, statement: Statement) -> Iterator[Target]:
        """Yield what a dotted name in a statement may stand for."""


class ImportOrder:
    """Hold the statements of one module in import order, by what they share."""

    def __init__(self, source: Source, names: Names) -> None:
        self.source = source
        self.names = names

    def turns(self, statements: list[Statement]) -> Iterator[tuple[str, Target]]:
        """Yield the places of these statements among those that share something, and what."""
        for number, statement in enumerate(statements):
            own = f" for statement {number}" if len(statements) > 1 else ""
            for node in sorted(self._used.get(statement, ())):
                users = self._users[node]
                place = users.index(statement)
                yield f"turn {place} of {len(users)}{own}", Target(node)

    @cached_property
    def _users(self) -> dict[str, list[Statement]]:
        """Map each shared definition to the statements whose order matters."""
        found: dict[str, list[Statement]] = {}
        for statement in self.source.statements:
            for node in self._changeable(statement):
                found.setdefault(node, []).append(statement)
        for node, users in found.items():
            definers = self.names.statements_of(node)
            if len(definers) == 1:  # it comes first anyway
                found[node] = [user for user in users if user not in definers]
        return {
            node: users
            for node, users in found.items()
            if len(users) > 1
            and not set(users) <= set(self.names.statements_of(node))
            and not self._is_chain(users)
        }

    def _is_chain(self, users: list[Statement]) -> bool:
        """Check whether each statement needs the one before, and none a later one."""
        own, reached = list(map(self._defined, users)), list(map(self._reached, users))
        return (
            all(len(self.names.statements_of(node)) == 1 for nodes in own for node in nodes)
            and all(nodes & later for nodes, later in zip(own[:-1], reached[1:], strict=True))
            and not any(own[late] & reached[i] for late in range(len(users)) for i in range(late))
        )

    def _defined(self, statement: Statement) -> set[str]:
        return {f"{self.source.module}:{name}" for name in statement.names}

    @cached_property
    def _used(self) -> dict[Statement, set[str]]:
        found: dict[Statement, set[str]] = {}
        for node, users in self._users.items():
            for user in users:
                found.setdefault(user, set()).add(node)
        return found

    def _changeable(self, statement: Statement) -> set[str]:
        """Return what may change among all that a statement reaches on import."""
        again = {n for n in self._defined(statement) if len(self.names.statements_of(n)) > 1}
        if not runs_on_import(statement):
            return again
        reached = self._reached(statement)
        return again | {node for node in reached if _may_change(self.names.statements_of(node))}

    def _reached(self, statement: Statement) -> set[str]:
        """Return all definitions that a statement leads to."""
        reached: set[str] = set()
        waiting = [
            target.node
            for path in statement.reading.mentions
            for target in self.names.leads_to(self.source, path, statement)
        ]
        while waiting:
            if (node := waiting.pop()) and node not in reached:
                reached.add(node)
                waiting.extend(self.names.nodes_of(node))
        return reached


def _may_change(statements: list[Statement]) -> bool:
    """Check whether a definition is assigned a value that may change."""
    if len(statements) == 1 and isinstance(statements[0].node, ASSIGNING):
        return not _is_unchanging(statements[0].node.value)
    return len(statements) > 1 or any(not _is_definition(each) for each in statements)


def _is_definition(statement: Statement) -> bool:
    return not runs_on_import(statement)


def _is_unchanging(value: ast.expr | None) -> bool:
    match value:
        case None | ast.Constant() | ast.JoinedStr():
            return True
        case ast.Tuple(elts):
            return all(map(_is_unchanging, elts))
        case ast.UnaryOp(_, operand):
            return _is_unchanging(operand)
        case ast.BinOp(left, _, right):
            return _is_unchanging(left) and _is_unchanging(right)
        case ast.Call(function):
            return dotted_path(function) in {(name,) for name in _UNCHANGING}
    return False
