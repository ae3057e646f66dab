"""What code reaches: a slow twin of `variorum.identity.fingerprint`, which shares nothing with it.

It follows the names that the compiler found: of every statement it asks for the globals and the
imports of functions that its bytecode loads, once without annotations, which is the least that a
fingerprint must hold, and once with all of them, which is the most. (`watching` gives another
least.)
"""

import __future__

import ast
import dis
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import CodeType

from oracles.watching import module_of

ASSIGNING = (ast.Assign, ast.AnnAssign, ast.AugAssign)
IMPORT = "<import>"
"""In place of a definition's name: what runs when its module is imported."""

DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, *ASSIGNING)


@dataclass(frozen=True)
class Module:
    """One file: its statements by the names they define, and what its imports bind.

    Under `IMPORT` stand statements that define nothing. brings: dotted names of what is imported
    with it.
    """

    statements: dict[str, list[ast.stmt]]
    imports: dict[str, set[tuple[str, ...]]]
    brings: set[tuple[str, ...]]


class Compiled:
    """The definitions of a package, and which others each of them names."""

    def __init__(self, package: Path) -> None:
        self.package = package
        files = {module_of(file, package): file for file in sorted(package.rglob("*.py"))}
        self.modules = {name: _module(ast.parse(file.read_text())) for name, file in files.items()}
        self._named: dict[tuple[str, str, bool], set[str]] = {}

    def reached(
        self,
        roots: Iterable[str],
        outside: frozenset[str],
        left_out: frozenset[str],
        *,
        annotations: bool,
    ) -> set[str]:
        """Every `module:name` that `roots` lead to; `module:*` is all of a module.

        Of the modules `outside`, only assignments are followed; of definitions `left_out`, nothing.
        """
        found: set[str] = set()
        seen: set[str] = set()
        waiting = list(roots)
        while waiting:
            module, _, name = waiting.pop().partition(":")
            if name == "*":
                here = self.modules[module]
                waiting += [f"{module}:{each}" for each in (*here.statements, IMPORT)]
                for place in chain.from_iterable(here.imports.values()) if annotations else ():
                    waiting += self._at(place)
            elif (asked := f"{module}:{name}") not in seen and asked not in left_out:
                seen.add(asked)
                statements = self.modules[module].statements.get(name, [])
                is_constant = all(isinstance(each, ASSIGNING) for each in statements)
                if module in outside and (name == IMPORT or not is_constant):
                    continue
                found |= {asked} if statements else set()
                waiting += self._named_by(module, name, annotations)
                waiting += self._imported_with(module) if name == IMPORT else [f"{module}:{IMPORT}"]
        return found

    def _named_by(self, module: str, name: str, annotations: bool) -> set[str]:
        """What a definition names of this package, found once."""
        asked = module, name, annotations
        if asked not in self._named:
            here = self.modules[module]
            codes = [_compiled(each, annotations) for each in here.statements.get(name, [])]
            found = self._named[asked] = set()
            for place, local in chain.from_iterable(map(_imported, codes)):
                at = set(self._at(place))
                if any(each.endswith(":*") for each in at):  # a module: what is asked of it
                    uses = chain.from_iterable(_loaded(code, LOCAL) for code in codes)
                    asked_of = [rest for first, *rest in uses if first == local and rest]
                    at = set(chain.from_iterable(self._at((*place, *r)) for r in asked_of)) or at
                found |= at
            for first, *rest in chain.from_iterable(map(_loaded, codes)):
                if first in here.statements:
                    found.add(f"{module}:{first}")
                for target in here.imports.get(first, ()):
                    found.update(self._at((*target, *rest)))
        return self._named[asked]

    def _imported_with(self, module: str) -> list[str]:
        found = chain.from_iterable(map(self._at, self.modules[module].brings))
        return [f"{each.split(':')[0]}:{IMPORT}" for each in found]

    def imported_at_once(
        self, modules: Iterable[str], is_outside: Callable[[str], bool]
    ) -> set[str]:
        """Modules that statements of these, and of those that they bring, import."""
        found: set[str] = set()
        waiting = list(modules)
        while waiting:
            module = waiting.pop()
            if module not in found and not is_outside(module):
                found.add(module)
                waiting += [each.split(":")[0] for each in self._imported_with(module)]
        return found

    def imported_late(self, definition: str) -> set[str]:
        """The modules of this package that functions in a definition import."""
        module, _, name = definition.partition(":")
        statements = self.modules[module].statements.get(name, [])
        places = chain.from_iterable(_imported(_compiled(each, False)) for each in statements)
        return {found.split(":")[0] for place, _ in places for found in self._at(place)}

    def _at(self, path: tuple[str, ...]) -> Iterator[str]:
        """The definition at a dotted place, if it is one of this package."""
        for length in range(len(path), 0, -1):
            if (module := ".".join(path[:length])) in self.modules:
                yield f"{module}:{path[length] if length < len(path) else '*'}"
                return


def _module(tree: ast.Module) -> Module:
    statements: dict[str, list[ast.stmt]] = {}
    brings: set[tuple[str, ...]] = set()
    for statement in chain.from_iterable(map(_that_run, tree.body)):
        if isinstance(statement, DEFINING):
            for name in names_of(statement):
                statements.setdefault(name, []).append(statement)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            parts = statement.module.split(".")
            brings.update((*parts, alias.name) for alias in statement.names)
        elif not isinstance(statement, ast.Import) and not _is_idle(statement):
            statements.setdefault(IMPORT, []).append(statement)
    imports: dict[str, set[tuple[str, ...]]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                place = (*node.module.split("."), alias.name)
                imports.setdefault(alias.asname or alias.name, set()).add(place)
    return Module(statements, imports, brings)


def _that_run(statement: ast.stmt) -> list[ast.stmt]:
    """The statement, or what the `else` of `if TYPE_CHECKING:` assigns."""
    match statement:
        case ast.If(ast.Name("TYPE_CHECKING"), _, [*assigned]) if assigned:
            return assigned if all(isinstance(a, ASSIGNING) for a in assigned) else [statement]
    return [statement]


def _is_idle(statement: ast.stmt) -> bool:
    """A docstring, or `if TYPE_CHECKING:` alone, which never runs."""
    match statement:
        case ast.Expr(ast.Constant()) | ast.If(ast.Name("TYPE_CHECKING"), _, []):
            return True
    return False


def names_of(statement: ast.stmt) -> list[str]:
    """What a statement defines."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    assert isinstance(statement, ASSIGNING)
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def _compiled(statement: ast.stmt, annotations: bool) -> CodeType:
    flags = 0 if annotations else __future__.annotations.compiler_flag
    module = ast.Module([statement], [])
    return compile(module, "", "exec", flags, dont_inherit=True)


GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME")
LOCAL = ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_DEREF")


def _imported(code: CodeType) -> Iterator[tuple[tuple[str, ...], str]]:
    """Dotted names that the bytecode takes from other modules, and what it calls them."""
    module: tuple[str, ...] = ()
    name = ""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            module = tuple(instruction.argval.split("."))
        elif instruction.opname == "IMPORT_FROM":
            name = instruction.argval
        elif name and instruction.opname.startswith("STORE_"):
            yield (*module, name), instruction.argval
            name = ""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _imported(constant)


def _loaded(code: CodeType, where: tuple[str, ...] = GLOBAL) -> Iterator[tuple[str, ...]]:
    """Dotted names that the bytecode loads from its module, or from its variables."""
    chain: tuple[str, ...] = ()
    for instruction in dis.get_instructions(code):
        if instruction.opname in where:
            yield from [chain] if chain else []
            chain = (instruction.argval,)
        elif chain and instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            chain = (*chain, instruction.argval)
        elif instruction.opname not in ("CACHE", "PRECALL", "NOP", "EXTENDED_ARG"):
            yield from [chain] if chain else []
            chain = ()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _loaded(constant, where)
