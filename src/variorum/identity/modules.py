"""Read one module: which statements define each name, and what its imports bind."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TypeGuard

from variorum.identity.scopes import DEFINITIONS, FUNCTIONS, IMPORTS
from variorum.identity.syntax import (
    ASSIGNING,
    DEFINING,
    Reading,
    bound_names,
    dotted_path,
    effective,
    parsed,
    read,
    span,
)

WHOLE = "*"
"""In place of a definition's name: the module as a value, with all its names."""

LOOSE = "<import>"
"""In place of a definition's name: what runs when a module is imported and defines nothing, or
more than it says, such as a function that a decorator of ours may register somewhere."""


@dataclass(frozen=True)
class Origin:
    """Describe what an import binds: `name` of `module`, or the module."""

    module: str
    name: str | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """Return the dotted name as its parts."""
        return (*self.module.split("."), *([self.name] if self.name else []))


@dataclass
class Imports:
    """Hold what the imports in one place bind.

    bound: what each name may stand for. dotted: names of `import a.b`, which binds `a`.
    stars: modules all of whose names are bound.
    """

    bound: dict[str, set[Origin]] = field(default_factory=dict)
    dotted: dict[str, set[str]] = field(default_factory=dict)
    stars: set[str] = field(default_factory=set)

    def add(self, node: ast.Import | ast.ImportFrom, package: list[str]) -> list[Origin]:
        """Note one import in a module of this package; returns what it brings."""
        origins = []
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                module = _imported_from(node, package)
                origin = Origin(module, None if alias.name == "*" else alias.name)
                self.stars.update([module] if alias.name == "*" else [])
            else:
                origin = Origin(alias.name)
                if not alias.asname:
                    self.dotted.setdefault(alias.name.split(".")[0], set()).add(alias.name)
            if alias.asname or origin.name:
                self.bound.setdefault(alias.asname or alias.name, set()).add(origin)
            origins.append(origin)
        return origins


def _imported_from(node: ast.ImportFrom, package: list[str]) -> str:
    if not node.level:
        return node.module or ""
    parts = package[: len(package) - node.level + 1]
    return ".".join([*parts, *([node.module] if node.module else [])])


@dataclass(eq=False)
class Statement:
    """Hold one top-level statement of a module.

    names: what it defines. loose: whether it may change what stands elsewhere. imports: what
    functions in it import. brings: all that imports anywhere in it bring.
    """

    node: ast.stmt
    names: list[str]
    loose: bool
    imports: Imports
    brings: list[Origin]

    @cached_property
    def reading(self) -> Reading:
        """Return its syntax."""
        return read(self.node)


class Source:
    """Hold one module: the statements that define each name, and its imports."""

    def __init__(self, module: str, is_package: bool, text: str) -> None:
        """Read the module's source `text`; raises `SyntaxError`."""
        self.module = module
        self.text = text
        self.statements: list[Statement] = []
        self.imports = Imports()
        self.runs: set[Origin] = set()
        """What is imported when this is, be it used or not."""
        self._package = module.split(".") if is_package else module.split(".")[:-1]
        self._named: dict[str, list[Statement]] = {}
        body = parsed(text).body
        for statement in effective(body):
            if _is_for_types(statement):
                self._add_types(statement)
            else:
                self._add(statement)
        self._find_registering()
        self._lines = text.split("\n")  # as the parser counts them
        spans = [span(statement) for statement in body]
        self._shared = {line for (_, end), (line, _) in pairwise(spans) if end > line}

    def _add_types(self, node: ast.If) -> None:
        """Add the imports of `if TYPE_CHECKING:`, and what its `else` assigns when it runs."""
        for statement in node.body:
            for inner, _ in _imports_in(statement):
                self.imports.add(inner, self._package)
        for statement in effective(node.orelse):
            self._add(statement)

    def _add(self, node: ast.stmt) -> None:
        own, brings = Imports(), []
        for inner, is_late in _imports_in(node):
            origins = (own if is_late else self.imports).add(inner, self._package)
            brings += origins
            if not is_late:
                self.runs.update(origins)
        if isinstance(node, IMPORTS):
            return
        names = bound_names(node)
        loose = not names or not isinstance(node, DEFINING)
        statement = Statement(node, names, loose, own, brings)
        self.statements.append(statement)
        for name in names:
            self._named.setdefault(name, []).append(statement)

    def _find_registering(self) -> None:
        """Mark statements with a decorator of this package, which may register them."""
        package = self.module.split(".")[0]
        for statement in self.statements:
            for decorator in getattr(statement.node, "decorator_list", ()):
                for first, *_ in read(decorator).mentions:
                    origins = self.imports.bound.get(first, set())
                    ours = first in self._named or package in self.imports.dotted.get(first, ())
                    if ours or any(origin.path[0] == package for origin in origins):
                        statement.loose = True

    @cached_property
    def passed_on(self) -> set[str]:
        """Return imported names that no statement uses: other modules may use them."""
        used = {first for each in self.statements for first, *_ in each.reading.mentions}
        return {*self.imports.bound, *self.imports.dotted} - used

    @property
    def names(self) -> Iterable[str]:
        """Return the names that statements of this module bind, without imports."""
        return self._named

    def defines(self, name: str) -> bool:
        """Check whether a statement of this module, not an import, binds `name`."""
        return name in self._named

    def binds(self, name: str) -> bool:
        """Check whether a statement or an import of this module binds `name`."""
        return name in self._named or name in self.imports.bound

    def of(self, name: str) -> list[Statement]:
        """Return the statements that define `name`, in their order."""
        if name == LOOSE:
            return [statement for statement in self.statements if statement.loose]
        return self._named.get(name, [])

    def source_of(self, name: str) -> str:
        """Return the definition as it was typed, with its decorators."""
        return "\n".join(self._text_of(statement.node) for statement in self.of(name))

    def _text_of(self, node: ast.stmt) -> str:
        """Return whole lines, unless they hold another statement too."""
        first, end = span(node)
        if self._shared & {first, end - 1} or node.col_offset:
            return ast.get_source_segment(self.text, node) or ""
        return "\n".join(self._lines[first:end])


@lru_cache(maxsize=512)
def read_source(module: str, is_package: bool, text: str) -> Source:
    """Return the module with this text; equal texts are read once."""
    return Source(module, is_package, text)


def runs_on_import(statement: Statement) -> bool:
    """Check whether importing the module computes something in this statement."""
    return statement.loose or not isinstance(statement.node, DEFINITIONS)


def _is_for_types(statement: ast.stmt) -> TypeGuard[ast.If]:
    """Check for `if TYPE_CHECKING:`, whose body never runs, with assignments in `else` or none."""
    return (
        isinstance(statement, ast.If)
        and dotted_path(statement.test)[-1:] == ("TYPE_CHECKING",)
        and all(isinstance(each, ASSIGNING) for each in statement.orelse)
    )


_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def _imports_in(
    node: ast.AST, is_late: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Yield every import in a statement, and whether a function call delays it."""
    if isinstance(node, IMPORTS):
        yield node, is_late
    for name in _BLOCKS:
        for inner in getattr(node, name, ()):
            yield from _imports_in(inner, is_late or isinstance(node, FUNCTIONS))
