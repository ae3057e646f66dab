"""What code reaches: the slow twins of `variorum.identity.fingerprint`.

Two of them, which share nothing with it. `watched` runs code and notes what of a package ran or
was read: the least that a fingerprint must hold. `Compiled` follows the names that the compiler
found: of every statement it asks for the globals that its bytecode loads, once without annotations,
which is the least again, and once with all of them, which is the most.
"""

import __future__

import ast
import dis
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ASSIGNING = (ast.Assign, ast.AnnAssign, ast.AugAssign)
DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, *ASSIGNING)


def module_of(file: Path, package: Path) -> str:
    """The dotted name of a file of a package."""
    parts = [package.name, *file.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# Running


@dataclass
class Evidence:
    """What was seen to happen: `codes` that ran, `calls` from one to another, files `opened`."""

    codes: set[CodeType] = field(default_factory=set)
    calls: set[tuple[CodeType, CodeType]] = field(default_factory=set)
    opened: set[Path] = field(default_factory=set)


_watching: list[tuple[str, Evidence]] = []


def _on_call(frame: FrameType, event: str, argument: Any) -> None:
    if event == "call" and _watching:
        package, evidence = _watching[-1]
        file = frame.f_code.co_filename
        if file.startswith(package) and file.endswith(".py"):
            evidence.codes.add(frame.f_code)
            if frame.f_back:
                evidence.calls.add((frame.f_back.f_code, frame.f_code))


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _watching and isinstance(arguments[0], (str, Path)):
        package, evidence = _watching[-1]
        if str(arguments[0]).startswith(package):
            evidence.opened.add(Path(arguments[0]))


@cache
def _listen() -> None:
    sys.addaudithook(_on_event)  # for the rest of the process: none is ever removed


@contextmanager
def watched(package: Path) -> Iterator[Evidence]:
    """Note what of a package's code runs and which of its files are opened."""
    _listen()
    evidence = Evidence()
    _watching.append((f"{package}/", evidence))
    threading.settrace(_on_call)
    sys.settrace(_on_call)
    try:
        yield evidence
    finally:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        _watching.pop()


def definition_of(code: CodeType, package: Path) -> str:
    """The top-level definition that a code object is part of, as `module:name`."""
    name = code.co_qualname.split(".")[0]
    return f"{module_of(Path(code.co_filename), package)}:{name}"


# Compiling


@dataclass(frozen=True)
class Module:
    """One file: its statements by the names they define, and what its imports bind."""

    statements: dict[str, list[ast.stmt]]
    imports: dict[str, set[tuple[str, ...]]]


class Compiled:
    """The definitions of a package, and which others each of them names."""

    def __init__(self, package: Path) -> None:
        self.package = package
        files = {module_of(file, package): file for file in sorted(package.rglob("*.py"))}
        self.modules = {name: _module(ast.parse(file.read_text())) for name, file in files.items()}

    def reached(
        self, roots: Iterable[str], outside: frozenset[str], *, annotations: bool
    ) -> set[str]:
        """Every `module:name` that `roots` lead to; `module:*` is all of a module.

        Of the modules `outside`, only assignments are followed.
        """
        found: set[str] = set()
        waiting = list(roots)
        while waiting:
            module, _, name = waiting.pop().partition(":")
            if name == "*":
                here = self.modules[module]
                waiting += [f"{module}:{each}" for each in here.statements]
                for place in chain.from_iterable(here.imports.values()) if annotations else ():
                    waiting += self._at(place)
            elif f"{module}:{name}" not in found:
                statements = self.modules[module].statements.get(name, [])
                if module in outside and not all(isinstance(s, ASSIGNING) for s in statements):
                    continue
                found |= {f"{module}:{name}"} if statements else set()
                for statement in statements:
                    waiting += self._named_by(module, statement, annotations)
        return found

    def _named_by(self, module: str, statement: ast.stmt, annotations: bool) -> Iterator[str]:
        here = self.modules[module]
        for first, *rest in _globals_of(statement, annotations):
            if first in here.statements:
                yield f"{module}:{first}"
            for target in here.imports.get(first, ()):
                yield from self._at((*target, *rest))

    def _at(self, path: tuple[str, ...]) -> Iterator[str]:
        """The definition at a dotted place, if it is one of this package."""
        for length in range(len(path), 0, -1):
            if (module := ".".join(path[:length])) in self.modules:
                yield f"{module}:{path[length] if length < len(path) else '*'}"
                return


def _module(tree: ast.Module) -> Module:
    statements: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        if isinstance(statement, DEFINING):
            for name in names_of(statement):
                statements.setdefault(name, []).append(statement)
    imports: dict[str, set[tuple[str, ...]]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                place = (*node.module.split("."), alias.name)
                imports.setdefault(alias.asname or alias.name, set()).add(place)
    return Module(statements, imports)


def names_of(statement: ast.stmt) -> list[str]:
    """What a statement defines."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    assert isinstance(statement, ASSIGNING)
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


def _globals_of(statement: ast.stmt, annotations: bool) -> set[tuple[str, ...]]:
    """Dotted names that the bytecode of a statement loads from its module."""
    flags = 0 if annotations else __future__.annotations.compiler_flag
    module = ast.Module([statement], [])
    return set(_loaded(compile(module, "", "exec", flags, dont_inherit=True)))


def _loaded(code: CodeType) -> Iterator[tuple[str, ...]]:
    chain: tuple[str, ...] = ()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield from [chain] if chain else []
            chain = (instruction.argval,)
        elif chain and instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            chain = (*chain, instruction.argval)
        elif instruction.opname not in ("CACHE", "PRECALL", "NOP", "EXTENDED_ARG"):
            yield from [chain] if chain else []
            chain = ()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _loaded(constant)
