"""The fingerprint of code: a hash of what a function reaches inside this package, found statically.

Nothing is imported or run. Starting from a definition, every name in its syntax tree is looked up
in its module and followed into the modules that it is imported from; the fingerprint is the hash of
the syntax of all definitions reached that way. So a stage's key changes when code that the stage
runs changes, and stays when anything else does.

What counts: functions, classes (whole), module-level assignments, statements that run on import,
which names of other libraries are meant, and package data whose file name stands as a literal in
reached code. What doesn't: comments, docstrings, formatting, function annotations, and the modules
of `OUTSIDE`, which decide nothing that does not also enter a key as a value. What cannot be seen:
names put together at run time and the versions of other libraries; components, which settings
choose by name, are therefore given as extra roots.

`ast.dump` and `ast.unparse` differ between Python versions, so the trees are written out here.
"""

import ast
import hashlib
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from variorum.components import PACKAGE, module_name

OUTSIDE = frozenset(
    {
        "variorum",
        "variorum.atomic",
        "variorum.cli",
        "variorum.components",
        "variorum.config",
        "variorum.errors",
        "variorum.experiments",
        "variorum.fingerprint",
        "variorum.library",
        "variorum.machine",
        "variorum.plan",
        "variorum.project",
        "variorum.progress",
        "variorum.runner",
        "variorum.sources",
        "variorum.schemas",
        "variorum.store",
        "variorum.task",
        "variorum.tracking",
        "variorum.workflow",
    }
)
"""Modules that no fingerprint enters; a test holds this list against the folder."""

OUTSIDE_FOLDER = "variorum.audit."
"""Below it lies what looks at results and makes none."""

PACKAGE_NAME = "variorum"

WHOLE = "*"
"""In place of a definition's name: the whole module."""


@dataclass(frozen=True, order=True)
class Symbol:
    """A top-level definition `name` of `module`; `WHOLE` stands for all of it."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


@dataclass(frozen=True)
class Fingerprint:
    """What a stage reaches: its hash, and the source of each part, for showing differences.

    libraries: names, as they are imported, of the other libraries that it mentions.
    """

    digest: str
    sources: dict[str, str] = field(compare=False)
    libraries: frozenset[str] = field(default=frozenset(), compare=False)


def fingerprint(
    function: str, parts: Iterable[tuple[str, str]] = (), package: Path = PACKAGE
) -> Fingerprint:
    """Fingerprint of `function` ("variorum.stages.pretrain:run") with its chosen components.

    `parts` are (folder, option) pairs as `config.chosen_components` gives them; each counts whole.
    `package` is the folder of the package's source.
    """
    module, name = function.split(":")
    roots = [Symbol(module, name), *(Symbol(module_name(*part), WHOLE) for part in parts)]
    code = _Code(package)
    hashes, sources, libraries = {}, {}, set()
    for symbol in _reach(code, roots):
        definitions = code.module(symbol.module)
        hashes[str(symbol)] = definitions.digest(symbol.name)
        for library, meaning in definitions.foreign(symbol.name):
            hashes[meaning] = ""
            libraries.add(library)
        sources[str(symbol)] = definitions.source_of(symbol.name)
        for file in definitions.data_files(symbol.name):
            content = (package / file).read_bytes()
            hashes[file] = hashlib.sha256(content).hexdigest()
            sources[file] = content.decode("utf-8", errors="replace")
    joined = "\n".join(f"{name} {digest}" for name, digest in sorted(hashes.items()))
    digest = hashlib.sha256(joined.encode()).hexdigest()
    return Fingerprint(digest, sources, frozenset(libraries - sys.stdlib_module_names))


def _reach(code: "_Code", roots: list[Symbol]) -> set[Symbol]:
    reached: set[Symbol] = set()
    waiting = list(roots)
    while waiting:
        symbol = waiting.pop()
        if symbol in reached or not code.is_inside(symbol.module):
            continue
        reached.add(symbol)
        waiting.extend(code.module(symbol.module).references(symbol.name))
        waiting.append(Symbol(symbol.module, _LOOSE))
    return {symbol for symbol in reached if code.module(symbol.module).nodes(symbol.name)}


_LOOSE = "<import>"
"""The statements of a module that define nothing and run when it is imported."""


class _Code:
    """The package's modules, parsed when asked for."""

    def __init__(self, package: Path) -> None:
        self.package = package
        self._modules: dict[str, _Module] = {}

    def is_inside(self, module: str) -> bool:
        outside = module in OUTSIDE or module.startswith(OUTSIDE_FOLDER)
        return not outside and self.path(module) is not None

    def path(self, module: str) -> Path | None:
        """The file of a module of this package; None for anything else."""
        first, *rest = module.split(".")
        if first != PACKAGE_NAME:
            return None
        plain = self.package.joinpath(*rest).with_suffix(".py") if rest else None
        for file in (plain, self.package.joinpath(*rest, "__init__.py")):
            if file is not None and file.is_file():
                return file
        return None

    def module(self, name: str) -> "_Module":
        if name not in self._modules:
            file = self.path(name)
            assert file is not None, name
            self._modules[name] = _parsed(file, file.stat().st_mtime_ns, self.package, name)
        return self._modules[name]


@cache
def _parsed(file: Path, modified: int, package: Path, name: str) -> "_Module":
    del modified  # part of the cache's key, so that an edited file is parsed again
    return _Module(file, package, name)


class _Module:
    """One source file: which definition binds each name, and what each of them refers to."""

    def __init__(self, file: Path, package: Path, name: str) -> None:
        self.name = name
        self.file = file
        self.package = package
        self.text = file.read_text(encoding="utf-8")
        self._definitions: dict[str, list[ast.stmt]] = {}
        self._imports: dict[str, set[Symbol]] = {}
        self._dotted: dict[str, set[str]] = {}
        self._referred: dict[str, list[Symbol]] = {}
        self._foreign: dict[str, list[tuple[str, str]]] = {}
        self._digests: dict[str, str] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(self.text)
        for statement in _without_docstring(tree.body):
            self._add(statement)

    def _add(self, statement: ast.stmt) -> None:
        self._note_imports(statement)
        if isinstance(statement, (ast.Import, ast.ImportFrom)) or _is_for_types(statement):
            return
        names = _bound_names(statement)
        if not names or not isinstance(statement, _DEFINING):
            names = [*names, _LOOSE]  # a loop or a block may also change what stands elsewhere
        for name in names:
            self._definitions.setdefault(name, []).append(statement)

    def _note_imports(self, tree: ast.AST) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.asname:
                        target = Symbol(alias.name, WHOLE)
                        self._imports.setdefault(alias.asname, set()).add(target)
                    else:
                        self._dotted.setdefault(alias.name.split(".")[0], set()).add(alias.name)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                for alias in node.names:
                    target = Symbol(origin, alias.name)
                    self._imports.setdefault(alias.asname or alias.name, set()).add(target)

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        if self.file.name != "__init__.py":
            parts = parts[:-1]
        parts = parts[: len(parts) - node.level + 1]
        return ".".join([*parts, *([node.module] if node.module else [])])

    def nodes(self, name: str) -> list[ast.stmt]:
        """The statements that define `name`."""
        if name == WHOLE:
            return [node for nodes in self._definitions.values() for node in nodes]
        return self._definitions.get(name, [])

    def references(self, name: str) -> list[Symbol]:
        """Symbols that the definition of `name` mentions, wherever they are defined."""
        if name not in self._referred:
            self._referred[name] = list(self._references(name))
        return self._referred[name]

    def _references(self, name: str) -> Iterator[Symbol]:
        if name in self._imports and name not in self._definitions:
            yield from self._resolved(name, None)  # a name passed on by `from x import name`
        for node in self.nodes(name):
            for local, attribute in _mentions(node):
                if local in self._definitions:
                    yield Symbol(self.name, local)
                if local in self._imports:
                    yield from self._resolved(local, attribute)
                for module in self._dotted.get(local, ()):
                    yield Symbol(module, WHOLE)

    def _resolved(self, local: str, attribute: str | None) -> Iterator[Symbol]:
        """Where an imported name leads; `module.attribute` leads to that attribute alone."""
        for target in self._imports[local]:
            submodule = target.module if target.name == WHOLE else f"{target.module}.{target.name}"
            if _is_module(self.package, submodule):
                if attribute is None or _is_module(self.package, f"{submodule}.{attribute}"):
                    yield from self._whole(submodule, attribute)
                else:
                    yield Symbol(submodule, attribute)
            elif target.name != WHOLE:
                yield target

    def _whole(self, module: str, attribute: str | None) -> Iterator[Symbol]:
        yield Symbol(module if attribute is None else f"{module}.{attribute}", WHOLE)

    def foreign(self, name: str) -> list[tuple[str, str]]:
        """Other libraries that the definition mentions, each with what its names mean here."""
        if name not in self._foreign:
            self._foreign[name] = list(self._mentioned_libraries(name))
        return self._foreign[name]

    def _mentioned_libraries(self, name: str) -> Iterator[tuple[str, str]]:
        mentioned = {local for node in self.nodes(name) for local, _ in _mentions(node)}
        for local in sorted(mentioned):
            targets = [(t.module, str(t)) for t in self._imports.get(local, ())]
            targets += [(module, module) for module in self._dotted.get(local, ())]
            for module, meaning in targets:
                library = module.split(".")[0]
                if library != PACKAGE_NAME:
                    yield library, f"{self.name}: {local} is {meaning}"

    def digest(self, name: str) -> str:
        """SHA-256 over the syntax of a definition."""
        if name not in self._digests:
            text = "\n".join(_written(node) for node in self.nodes(name))
            self._digests[name] = hashlib.sha256(text.encode()).hexdigest()
        return self._digests[name]

    def source_of(self, name: str) -> str:
        """The definition as it was typed, with its decorators."""
        lines = self.text.splitlines()
        parts = []
        for node in sorted(self.nodes(name), key=lambda node: node.lineno):
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            parts.append("\n".join(lines[first - 1 : node.end_lineno]))
        return "\n".join(dict.fromkeys(parts))

    def data_files(self, name: str) -> Iterator[str]:
        """Package data in this module's folder or below that a literal of the definition names."""
        data = _data_below(self.file.parent)
        for node in self.nodes(name):
            for literal in _literals(node):
                for file in data.get(literal, ()):
                    yield file.relative_to(self.package).as_posix()


@cache
def _data_below(folder: Path) -> dict[str, list[Path]]:
    """Files that are no code, by the names a literal may call them: with or without folders."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.suffix not in (".py", ".pyc"):
            for name in {file.name, file.relative_to(folder).as_posix()}:
                found.setdefault(name, []).append(file)
    return found


@cache
def _is_module(package: Path, name: str) -> bool:
    return _Code(package).path(name) is not None


_DEFINING = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Assign,
    ast.AnnAssign,
    ast.AugAssign,
)


def _is_for_types(statement: ast.stmt) -> bool:
    """`if TYPE_CHECKING:` never runs."""
    return (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Name)
        and statement.test.id == "TYPE_CHECKING"
    )


def _bound_names(statement: ast.stmt) -> list[str]:
    """Names that a top-level statement defines; a block defines what any of its branches does."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    stored = [
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    inner = [
        node.name
        for node in ast.walk(statement)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    ]
    return list(dict.fromkeys(stored + inner))


def _mentions(tree: ast.AST) -> Iterator[tuple[str, str | None]]:
    """(name, attribute or None) for each name that is used, annotations of functions apart."""
    for node in _walk(tree):
        if isinstance(node, ast.Attribute):
            chain = _chain(node)
            if chain:
                yield chain[0], chain[1]
        elif isinstance(node, ast.Name):
            yield node.id, None


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node that counts, but not the name at the root of a dotted one."""
    yield tree
    for _, value in _fields(tree):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            if isinstance(tree, ast.Attribute) and isinstance(child, ast.Name):
                continue
            yield from _walk(child)


def _chain(node: ast.Attribute) -> tuple[str, str] | None:
    """`a.b` of `a.b`; dotted names are resolved from their first two parts."""
    return (node.value.id, node.attr) if isinstance(node.value, ast.Name) else None


def _literals(tree: ast.AST) -> Iterator[str]:
    for node in _walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if 0 < len(text) < 200 and "\n" not in text and "\0" not in text:
                yield text


# Writing a tree out, the same on every Python from 3.11 on


def _written(node: object) -> str:
    if isinstance(node, ast.AST):
        inner = " ".join(f"{name}={_written(value)}" for name, value in _fields(node))
        return f"({type(node).__name__} {inner})"
    if isinstance(node, list):
        return f"[{' '.join(_written(item) for item in node)}]"
    return f"{type(node).__name__}:{node!r}"


_SILENT = {"ctx", "type_comment", "kind", "type_params", "returns"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    """The fields that decide behaviour: no empty ones (newer Pythons add some), no annotations."""
    for name, value in ast.iter_fields(node):
        if name in _SILENT or value is None or value == []:
            continue
        if isinstance(node, ast.arg) and name == "annotation":
            continue
        if name == "body" and isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Module)):
            value = _without_docstring(value)
        if isinstance(node, ast.AnnAssign) and name == "simple":
            continue
        yield name, value


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    is_docstring = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return body[1:] if is_docstring else body
