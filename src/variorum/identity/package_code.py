"""Read the package and find what each name in it leads to.

Nothing is imported or run. Every dotted name in a definition is looked up in its module and
followed through imports to the definition that it stands for.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO, TextIOWrapper
from pathlib import Path, PurePosixPath

from variorum.base.components import PACKAGE
from variorum.base.files import FolderFiles
from variorum.identity.definitions import Definition, Target, hashed
from variorum.identity.import_order import ImportOrder
from variorum.identity.modules import (
    LOOSE,
    WHOLE,
    Imports,
    Origin,
    Source,
    Statement,
    read_source,
)
from variorum.identity.package_data import PackageData
from variorum.identity.scopes import DEFINITIONS
from variorum.identity.syntax import ASSIGNING, Dotted

INSIDE_FOLDERS = frozenset(
    {
        "corpus",
        "tokenizer",
        "model",
        "generation",
        "training",
        "evaluation",
        "report",
        "stages",
    }
)
"""Folders of the code that computes results. All other code plans, stores, runs or shows them.

Two parts outside still decide bytes of results, for all stages alike: the store writes manifests,
and `store.restoring` writes `bundle/` into reports and tables. They copy and compute nothing, so an
edit of them must not rerun a training; an edit that changes what they write raises `SCHEMA`.
"""

OUTSIDE = frozenset(f"variorum.stages.{name}" for name in ("registry", "stage", "task"))
"""Modules in `INSIDE_FOLDERS` that compute no contents of results."""

PACKAGE_NAME = "variorum"
CONFIG = "variorum.config"
OUTSIDE_NAME = "outside:"
"""Prefix of names that do not count, in place of their module."""


@dataclass(frozen=True, order=True)
class Symbol:
    """Name a top-level definition of a module; `WHOLE` names the module itself."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


def symbol_of(node: str) -> Symbol:
    """Return the symbol that is written `module:name`."""
    return Symbol(*node.split(":"))


def is_outside(module: str) -> bool:
    """Check whether a module plans, stores, runs or shows, and so enters no fingerprint."""
    _, *parts = module.split(".")
    return not parts or parts[0] not in INSIDE_FOLDERS or module in OUTSIDE


class Code:
    """Hold the source of one state of the package; files are read once."""

    def __init__(self, package: Path = PACKAGE, files: Mapping[str, bytes] | None = None) -> None:
        """Read the package in the folder `package`, or these `files` of it.

        Files have their paths in the package; a package whose files are given need not exist.
        """
        self.package = package
        self.files = FolderFiles(package) if files is None else files
        self._paths: dict[str, str | None] = {}
        self._sources: dict[str, Source] = {}
        self._definitions: dict[Symbol, Definition] = {}
        self._names: dict[Symbol, dict[Dotted, tuple[Target, ...]]] = {}
        self._references: dict[Symbol, frozenset[Symbol]] = {}
        self._orders: dict[str, ImportOrder] = {}
        self._hashes: dict[str, str] = {}

    def path(self, module: str) -> str | None:
        """Return the path in this package of a module's file; None for anything else."""
        if module not in self._paths:
            self._paths[module] = self._find(module)
        return self._paths[module]

    def _find(self, module: str) -> str | None:
        first, *rest = module.split(".")
        if first != PACKAGE_NAME:
            return None
        paths = ["/".join([*rest, "__init__.py"]), *(["/".join(rest) + ".py"] if rest else [])]
        return next((path for path in paths if path in self.files), None)

    def source(self, module: str) -> Source:
        """Return the parsed source of a module of this package; raises `SyntaxError`."""
        if module not in self._sources:
            path = self.path(module)
            assert path is not None, module
            text = TextIOWrapper(BytesIO(self.files[path]), encoding="utf-8").read()
            is_package = PurePosixPath(path).name == "__init__.py"
            try:
                self._sources[module] = read_source(module, is_package, text)
            except SyntaxError as error:
                error.filename = path
                raise
        return self._sources[module]

    # Hashes

    def hashes(self, symbols: Iterable[Symbol]) -> dict[str, str]:
        """Return the hash by content of each of these definitions, as `module:name`."""
        wanted = {str(symbol): symbol for symbol in symbols}
        new = {node: self.definition(s) for node, s in wanted.items() if node not in self._hashes}
        self._hashes |= hashed(new, self._hashes)
        return {node: self._hashes[node] for node in wanted}

    def definition(self, symbol: Symbol) -> Definition:
        """Return the content of a definition, with what its names stand for."""
        if symbol not in self._definitions:
            self._definitions[symbol] = self._read(symbol)
        return self._definitions[symbol]

    def _read(self, symbol: Symbol) -> Definition:
        source = self.source(symbol.module)
        statements = source.of(symbol.name)
        return Definition(
            tuple(statement.reading for statement in statements),
            tuple(
                role_in_statement(symbol.name, isinstance(each.node, DEFINITIONS), each.names)
                for each in statements
            ),
            self._names_of(symbol),
            self._data.named_in(self.path(symbol.module), statements),
            tuple(self._order_of(source).turns(statements)),
        )

    def _names_of(self, symbol: Symbol) -> dict[Dotted, tuple[Target, ...]]:
        """Map the dotted names in a definition to what they stand for.

        A module as a value refers to all its names.
        """
        if symbol not in self._names:
            source = self.source(symbol.module)
            found: dict[Dotted, set[Target]] = {}
            if symbol.name == WHOLE:
                for name in (*source.names, *source.passed_on):
                    found[name,] = set(self._targets(source, (name,)))
            for statement in source.of(symbol.name):
                for path in statement.reading.mentions:
                    found.setdefault(path, set()).update(self.leads_to(source, path, statement))
            self._names[symbol] = {
                path: tuple(sorted(each)) for path, each in found.items() if each
            }
        return self._names[symbol]

    def _order_of(self, source: Source) -> ImportOrder:
        if source.module not in self._orders:
            self._orders[source.module] = ImportOrder(source, self)
        return self._orders[source.module]

    def nodes_of(self, node: str) -> frozenset[str]:
        """Return the definitions that a definition refers to."""
        names = self._names_of(symbol_of(node)).values()
        return frozenset(each.node for targets in names for each in targets if each.node)

    def statements_of(self, node: str) -> list[Statement]:
        """Return the statements of a definition."""
        symbol = symbol_of(node)
        return self.source(symbol.module).of(symbol.name)

    def leads_to(self, source: Source, path: Dotted, statement: Statement) -> Iterator[Target]:
        """Yield what a dotted name in a statement of a module may stand for."""
        return self._targets(source, path, statement.imports)

    # What names stand for

    def says(self, symbol: Symbol) -> bool:
        """Check whether the module of a symbol has statements for it."""
        return bool(self.source(symbol.module).of(symbol.name))

    def home(self, symbol: Symbol) -> Symbol:
        """Return where a name of a module is defined, following imports."""
        nodes = [target.node for target in self._at(symbol, ()) if target.node]
        return symbol_of(nodes[0]) if nodes else symbol

    def references(self, symbol: Symbol) -> frozenset[Symbol]:
        """Return what a definition refers to, and what runs because its module is imported."""
        if symbol not in self._references:
            self._references[symbol] = frozenset(self._referred_to(symbol))
        return self._references[symbol]

    def _referred_to(self, symbol: Symbol) -> Iterator[Symbol]:
        source = self.source(symbol.module)
        yield from map(symbol_of, self.definition(symbol).nodes())
        for statement in source.of(symbol.name):
            for origin in statement.brings:
                yield from self._run_by(origin)
        yield from self._run_by(Origin(symbol.module))
        if symbol.name == LOOSE:
            for origin in source.runs:
                yield from self._run_by(origin)

    def _run_by(self, origin: Origin) -> Iterator[Symbol]:
        """Yield what runs when a module and the packages around it are imported."""
        for depth in range(1, len(origin.path) + 1):
            module = ".".join(origin.path[:depth])
            if self.path(module) and not is_outside(module):
                yield Symbol(module, LOOSE)

    def _targets(
        self, source: Source, path: Dotted, inner: Imports | None = None
    ) -> Iterator[Target]:
        """Yield what a dotted name in a module may stand for.

        `inner` are the imports inside its statement.
        """
        local, *attributes = path
        if source.defines(local):
            yield from self._at(Symbol(source.module, local), attributes)
        for imports in (source.imports, *([inner] if inner else [])):
            for origin in imports.bound.get(local, ()):
                yield from self._led_to((*origin.path, *attributes))
            if local in imports.dotted:
                yield from self._led_to(path)
            for module in imports.dotted.get(local, ()):
                if tuple(module.split("."))[: len(path)] == path and self.path(module):
                    yield Target(f"{module}:{WHOLE}")  # a package as a value
            for star in imports.stars:
                if self.path(star) and self.source(star).binds(local):
                    yield from self._at(Symbol(star, local), attributes)

    def _led_to(self, path: Dotted) -> Iterator[Target]:
        """Yield the definition of an absolute dotted name, in its deepest module."""
        if path[0] != PACKAGE_NAME:
            yield Target("", ".".join(path))
            return
        for depth in range(1, len(path) + 1):
            module, rest = ".".join(path[:depth]), path[depth:]
            deeper = bool(rest) and self._is_module(f"{module}.{rest[0]}")
            known = self.path(module) is not None
            if not deeper or (known and self.source(module).binds(rest[0])):
                yield from self._at(Symbol(module, rest[0] if rest else WHOLE), rest[1:])
            if not deeper:
                return

    def _is_module(self, name: str) -> bool:
        """Check whether a name is a file of this package, or a folder."""
        first, *rest = name.split(".")
        if first != PACKAGE_NAME:
            return False
        return self.path(name) is not None or "/".join(rest) in self._folders

    @cached_property
    def _folders(self) -> frozenset[str]:
        paths = map(PurePosixPath, self.files)
        return frozenset(str(folder) for path in paths for folder in path.parents)

    def _at(self, symbol: Symbol, attributes: Iterable[str]) -> Iterator[Target]:
        """Yield a definition with attributes, following names that are only passed on."""
        rest = ".".join(attributes)
        if self.path(symbol.module) is None:
            return
        source = self.source(symbol.module)
        statements = source.of(symbol.name)
        if self._counts(symbol, statements):
            yield Target(str(symbol), rest)
        elif statements or symbol.name == WHOLE:
            yield Target("", f"{OUTSIDE_NAME}{symbol.name}{'.' if rest else ''}{rest}")
        else:
            yield from self._passed_on(source, symbol, tuple(attributes))

    def _passed_on(self, source: Source, symbol: Symbol, attributes: Dotted) -> Iterator[Target]:
        """Yield where a name that a module does not define may come from."""
        if found := set(self._targets(source, (symbol.name, *attributes))):
            yield from found
        elif is_outside(source.module):
            yield Target("", ".".join([f"{OUTSIDE_NAME}{symbol.name}", *attributes]))
        else:
            maker = "__getattr__" if source.defines("__getattr__") else WHOLE
            yield Target(f"{source.module}:{maker}", ".".join([symbol.name, *attributes]))

    def _counts(self, symbol: Symbol, statements: list[Statement]) -> bool:
        """Check whether a definition enters fingerprints; outside, only constants do."""
        if is_outside(symbol.module):
            return bool(statements) and all(isinstance(s.node, ASSIGNING) for s in statements)
        if symbol.name == WHOLE:
            return True
        return bool(statements) and not self._declares_settings(symbol.module, statements)

    def _declares_settings(self, module: str, statements: list[Statement]) -> bool:
        """Check whether this is a class of settings.

        Keys hold their values, which is enough.
        """
        source = self.source(module)
        bases = [base for s in statements for base in getattr(s.node, "bases", ())]
        for base in bases:
            if not isinstance(base, ast.Name):
                continue
            if source.defines(base.id) and self._declares_settings(module, source.of(base.id)):
                return True
            for origin in source.imports.bound.get(base.id, ()):
                if f"{origin.module}.".startswith(f"{CONFIG}."):
                    return True
                known = origin.name and self.path(origin.module)
                if known and self._declares_settings(
                    origin.module, self.source(origin.module).of(str(origin.name))
                ):
                    return True
        return False

    # Data and libraries

    def data_files(self, symbols: Iterable[Symbol]) -> set[str]:
        """Return the package data that these definitions name."""
        data = (self.definition(symbol).data for symbol in symbols)
        return {file for each in data for files in each.values() for file, _ in files}

    @cached_property
    def _data(self) -> PackageData:
        return PackageData(self.files)

    def libraries(self, symbols: Iterable[Symbol]) -> set[str]:
        """Return the libraries outside of Python itself that these definitions use."""
        found = {
            target.rest.split(".")[0]
            for symbol in symbols
            for targets in self.definition(symbol).names.values()
            for target in targets
            if not target.node and not target.rest.startswith(OUTSIDE_NAME)
        }
        return found - sys.stdlib_module_names


def role_in_statement(name: str, is_definition: bool, names: Sequence[str]) -> str:
    """Return the part that a definition has in its statement, as hashed text.

    Of what runs on import the names of definitions count: a registry may know them by name.
    """
    if name == LOOSE:
        return f"runs {list(names)}" if is_definition else "runs"
    return f"defines {names.index(name)}"
