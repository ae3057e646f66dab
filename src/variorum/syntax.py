"""What the text of a module says: its statements, the names they use, their syntax written out.

A pure function of the text: nothing is imported or run, and no other file is looked at.

The syntax is written out here because `ast.dump` and `ast.unparse` differ between Python versions;
this is the same on every Python from 3.11 on. Whatever has no effect is left out: comments,
docstrings and other bare constants, `pass`, formatting, and annotations of functions and of
variables inside of them. Annotations of classes count: dataclasses are made from them.
"""

import ast
import hashlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise

WHOLE = "*"
"""In place of a definition's name: the whole module."""

LOOSE = "<import>"
"""In place of a definition's name: what runs when a module is imported and defines nothing, or
more than it says, such as a function that a decorator of ours may register somewhere."""

Dotted = tuple[str, ...]
"""A dotted name, taken apart."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
ASSIGNING = (ast.Assign, ast.AnnAssign, ast.AugAssign)
DEFINING = (*DEFINITIONS, *ASSIGNING)
_IMPORTS = (ast.Import, ast.ImportFrom)


def parsed(source: str) -> ast.Module:
    """The tree of a source text; raises `SyntaxError`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def effective(body: Iterable[ast.stmt]) -> list[ast.stmt]:
    """The statements that do something: neither docstrings, nor other constants, nor `pass`."""
    return [
        statement
        for statement in body
        if not isinstance(statement, ast.Pass)
        and not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    ]


def span(node: ast.stmt) -> tuple[int, int]:
    """The lines of a statement with its decorators, counted from 0, the last one excluded."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    return first - 1, node.end_lineno or first


def bound_names(statement: ast.stmt) -> list[str]:
    """Names that a top-level statement defines; a block defines what any of its branches does."""
    return list(dict.fromkeys(_bound(statement)))


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that a node binds where it stands; those inside of what it defines apart."""
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


# Modules


@dataclass(frozen=True)
class Origin:
    """What an import binds a name to: `name` of `module`, or all of it if there is none."""

    module: str
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.module}:{self.name or WHOLE}"

    @property
    def path(self) -> Dotted:
        """The dotted name."""
        return (*self.module.split("."), *([self.name] if self.name else []))


@dataclass(eq=False)
class Statement:
    """One top-level statement of a module.

    names: what it defines. loose: whether it may change what stands elsewhere.
    """

    node: ast.stmt
    names: list[str]
    loose: bool
    imports: list[Origin]

    @cached_property
    def reading(self) -> "Reading":
        """What it says."""
        return read(self.node)


class Source:
    """One module: which statements define each name, and what its imports bind."""

    def __init__(self, module: str, is_package: bool, text: str) -> None:
        self.module = module
        self.text = text
        self.statements: list[Statement] = []
        self.imports: dict[str, set[Origin]] = {}
        self.dotted: dict[str, set[str]] = {}
        """Modules by the first part of their name, for `import a.b`, which binds `a`."""
        self.stars: set[str] = set()
        self.runs: set[Origin] = set()
        """What is imported when this is, be it used or not."""
        self._package = module.split(".") if is_package else module.split(".")[:-1]
        self._named: dict[str, list[Statement]] = {}
        self._digests: dict[str, str] = {}
        body = parsed(text).body
        for statement in effective(body):
            self._add(statement)
        self._find_registering()
        self._lines = text.split("\n")  # as the parser counts them
        spans = [span(statement) for statement in body]
        self._shared = {line for (_, end), (line, _) in pairwise(spans) if end > line}

    def _add(self, node: ast.stmt) -> None:
        for_types = _is_for_types(node)
        imported: list[Origin] = []
        for inner, is_late in _imports_in(node):
            origins = self._bind(inner)
            imported += origins
            if not is_late and not for_types:
                self.runs.update(origins)
        if for_types or isinstance(node, _IMPORTS):
            return
        names = bound_names(node)
        loose = not names or not isinstance(node, DEFINING)
        statement = Statement(node, names, loose, imported)
        self.statements.append(statement)
        for name in names:
            self._named.setdefault(name, []).append(statement)

    def _bind(self, node: ast.Import | ast.ImportFrom) -> list[Origin]:
        """Note what an import binds, wherever it stands; gives what it brings."""
        origins = []
        for alias in node.names:
            if isinstance(node, ast.Import):
                origin = Origin(alias.name)
                if not alias.asname:
                    self.dotted.setdefault(alias.name.split(".")[0], set()).add(alias.name)
            else:
                module = self._imported_from(node)
                origin = Origin(module, None if alias.name == "*" else alias.name)
                if alias.name == "*":
                    self.stars.add(module)
            if alias.asname or origin.name:
                self.imports.setdefault(alias.asname or alias.name, set()).add(origin)
            origins.append(origin)
        return origins

    def _imported_from(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self._package[: len(self._package) - node.level + 1]
        return ".".join([*parts, *([node.module] if node.module else [])])

    def _find_registering(self) -> None:
        """Mark what a decorator of this package, not of a library, may put somewhere else."""
        package = self.module.split(".")[0]
        for statement in self.statements:
            for decorator in getattr(statement.node, "decorator_list", ()):
                for first, *_ in read(decorator).mentions:
                    origins = self.imports.get(first, set())
                    ours = first in self._named or package in self.dotted.get(first, ())
                    if ours or any(origin.path[0] == package for origin in origins):
                        statement.loose = True

    @cached_property
    def passed_on(self) -> set[str]:
        """Imported names that no statement mentions: they may be there for others."""
        used = {first for each in self.statements for first, *_ in each.reading.mentions}
        return {*self.imports, *self.dotted} - used

    @property
    def names(self) -> Iterable[str]:
        """What the statements of this module bind; imports apart."""
        return self._named

    def defines(self, name: str) -> bool:
        """Whether a statement of this module binds `name`; imports apart."""
        return name in self._named

    def of(self, name: str) -> list[Statement]:
        """The statements that define `name`, in their order."""
        if name == LOOSE:
            return [statement for statement in self.statements if statement.loose]
        return self._named.get(name, [])

    def digest(self, name: str) -> str:
        """SHA-256 over the syntax of a definition."""
        if name not in self._digests:
            text = "\n".join(statement.reading.written for statement in self.of(name))
            self._digests[name] = hashlib.sha256(text.encode()).hexdigest()
        return self._digests[name]

    def source_of(self, name: str) -> str:
        """The definition as it was typed, with its decorators."""
        return "\n".join(self._text_of(statement.node) for statement in self.of(name))

    def _text_of(self, node: ast.stmt) -> str:
        """Whole lines, unless they hold another statement too."""
        first, end = span(node)
        if self._shared & {first, end - 1}:
            return ast.get_source_segment(self.text, node) or ""
        return "\n".join(self._lines[first:end])

    def order(self, names: set[str]) -> list[str]:
        """Names of those of these definitions whose order may matter, in the order they run in.

        Functions and classes may stand anywhere, unless their name is bound more than once.
        """
        found = []
        for statement in self.statements:
            shown = [LOOSE] if statement.loose and LOOSE in names else []
            shown += [name for name in statement.names if name in names]
            again = any(len(self._named[name]) > 1 for name in statement.names)
            if shown and (again or statement.loose or not isinstance(statement.node, DEFINITIONS)):
                found.append("+".join(shown))
        return found


@lru_cache(maxsize=512)
def read_source(module: str, is_package: bool, text: str) -> Source:
    """The module with this text, read once however often it is asked for."""
    return Source(module, is_package, text)


def _is_for_types(statement: ast.stmt) -> bool:
    """`if TYPE_CHECKING:`, which never runs."""
    return (
        isinstance(statement, ast.If)
        and not statement.orelse
        and _path(statement.test)[-1:] == ("TYPE_CHECKING",)
    )


def _imports_in(
    node: ast.AST, is_late: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Every import in a statement, with whether it waits for a function to be called."""
    if isinstance(node, _IMPORTS):
        yield node, is_late
    for name in _BLOCKS:
        for inner in getattr(node, name, ()):
            yield from _imports_in(inner, is_late or isinstance(node, FUNCTIONS))


_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


# Reading one tree


@dataclass(frozen=True)
class Reading:
    """What a tree says: its syntax, the dotted names it uses, and its texts of one line."""

    written: str
    mentions: frozenset[Dotted]
    literals: frozenset[str]


def read(tree: ast.AST) -> Reading:
    """What counts of a tree."""
    reader = _Reader()
    written = reader.write(tree)
    return Reading(written, frozenset(reader.mentions), frozenset(reader.literals))


_SILENT = frozenset({"ctx", "type_comment", "kind", "type_params", "returns", "simple"})
_BODIES = frozenset({"body", "orelse", "finalbody"})


@dataclass
class _Reader:
    mentions: set[Dotted] = field(default_factory=set)
    literals: set[str] = field(default_factory=set)
    in_function: bool = False

    def write(self, value: object) -> str:
        if isinstance(value, ast.Name):
            if isinstance(value.ctx, ast.Load):
                self.mentions.add((value.id,))
        elif isinstance(value, ast.Attribute) and (path := _path(value)):
            self.mentions.add(path)
            return _written_path(path)
        elif isinstance(value, ast.JoinedStr):
            return f"(JoinedStr {self.write(_joined(value.values))})"
        elif isinstance(value, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
            return self._definition(value)
        elif isinstance(value, ast.AugAssign) and isinstance(value.target, ast.Name):
            self.mentions.add((value.target.id,))  # it is read before it is set
        elif isinstance(value, ast.Constant):
            self._note(value.value)
        if isinstance(value, ast.AST):
            return self._node(value)
        if isinstance(value, list):
            return f"[{' '.join(map(self.write, value))}]"
        return self._plain(value)

    def _note(self, value: object) -> None:
        """Keep a text that may name a file."""
        if isinstance(value, str) and 0 < len(value) < 200 and "\n" not in value:
            self.literals.add(value)

    def _definition(self, node: ast.AST) -> str:
        was = self.in_function
        self.in_function = not isinstance(node, ast.ClassDef)
        written = self._node(node)
        self.in_function = was
        return written

    def _node(self, node: ast.AST) -> str:
        parts = []
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None or value == [] or name in _SILENT or self._is_idle(node, name):
                continue  # newer Pythons add empty fields
            if name in _BODIES and isinstance(value, list):
                value = effective(value)
            parts.append(f"{name}={self.write(value)}")
        return f"({type(node).__name__} {' '.join(parts)})"

    def _is_idle(self, node: ast.AST, name: str) -> bool:
        """Whether it is an annotation that nothing evaluates."""
        return name == "annotation" and (self.in_function or isinstance(node, ast.arg))

    @staticmethod
    def _plain(value: object) -> str:
        if isinstance(value, str):  # which characters repr() escapes depends on Python's Unicode
            return f"str:{value!a}"
        return f"{type(value).__name__}:{value!r}"


def _path(node: ast.expr) -> Dotted:
    """`a.b.c` taken apart; empty for anything but names joined by dots."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()


def _written_path(path: Dotted) -> str:
    first, *rest = path
    written = f"(Name id=str:{first!a})"
    for name in rest:
        written = f"(Attribute value={written} attr=str:{name!a})"
    return written


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string; Pythons differ in where they divide plain text."""
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
