"""Refactorings that change no behaviour: definitions and modules are moved, renamed, split, merged.

They work on the text of a copy of the package, which is never imported; what keys are made from
shares nothing with them. Refused (False) is what could change what the code says: a name that is
also a local variable somewhere, or that is bound more than once.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

from oracles.reach import module_of, names_of

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINING = (*FUNCTIONS, ast.ClassDef, ast.Assign, ast.AnnAssign)


class Package:
    """The modules of a package as trees, to change and to write back."""

    def __init__(self, folder: Path, modules: Callable[[str], bool]) -> None:
        """`modules` tells which are worked on; the others are left as they are."""
        files = {module_of(file, folder): file for file in sorted(folder.rglob("*.py"))}
        self.folder = folder
        self.files = {module: file for module, file in files.items() if modules(module)}
        self.trees = {
            module: ast.parse(file.read_text(encoding="utf-8"))
            for module, file in self.files.items()
        }
        self.packages = {m for m, file in self.files.items() if file.name == "__init__.py"}

    def save(self) -> None:
        """Write every module that is worked on; those that are gone are deleted."""
        for file in self.files.values():
            file.unlink()
        for module, tree in self.trees.items():
            place = self.folder.joinpath(*module.split(".")[1:])
            file = place / "__init__.py" if module in self.packages else place.with_suffix(".py")
            file.write_text(ast.unparse(ast.fix_missing_locations(tree)) + "\n", encoding="utf-8")

    # Names

    def definitions(self, module: str) -> list[str]:
        """Names that one plain statement of a module defines, alone."""
        names = [
            names_of(statement)
            for statement in self.trees[module].body
            if isinstance(statement, DEFINING)
        ]
        every = [name for each in names for name in each]
        return [each[0] for each in names if len(each) == 1 and every.count(each[0]) == 1]

    def rename(self, module: str, old: str, new: str) -> bool:
        """Call a definition something else, wherever it is named."""
        users = {
            other: {old} if other == module else self._imported_as(other, module, old)
            for other in self.trees
        }
        users = {other: locals_ for other, locals_ in users.items() if locals_}
        if any(old in _local_names(self.trees[other]) for other in users):
            return False
        if any(self._passes_on(other, old) for other in users if other != module):
            return False
        for other, tree in self.trees.items():
            aliases = self._aliases(other, module)
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and _dotted(node.value) in aliases:
                    node.attr = new if node.attr == old else node.attr
                elif isinstance(node, ast.ImportFrom) and node.module == module:
                    for alias in node.names:
                        alias.name = new if alias.name == old else alias.name
                elif other in users and old in users[other]:
                    _rename_in(node, old, new)
        return True

    def _passes_on(self, module: str, name: str) -> bool:
        """Whether others get a name from a module that imports it."""
        return any(
            self._imported_as(other, module, name)
            or any(
                _dotted(node.value) in self._aliases(other, module)
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and node.attr == name
            )
            for other, tree in self.trees.items()
        )

    def _imported_as(self, module: str, source: str, name: str) -> set[str]:
        return {
            alias.asname or alias.name
            for node in ast.walk(self.trees[module])
            if isinstance(node, ast.ImportFrom) and node.module == source
            for alias in node.names
            if alias.name == name
        }

    def _aliases(self, module: str, target: str) -> set[str]:
        """What stands for the module `target` in another."""
        found = {target}
        parent, _, last = target.rpartition(".")
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.ImportFrom) and node.module == parent:
                found |= {a.asname or a.name for a in node.names if a.name == last}
            elif isinstance(node, ast.Import):
                found |= {a.asname for a in node.names if a.name == target and a.asname}
        return found

    # Places

    def move(self, module: str, name: str, target: str, *, passed_on: bool) -> bool:
        """Move a definition to another module, made if it is new.

        passed_on: others still import it from where it was, which imports it itself.
        """
        tree = self.trees[module]
        (statement,) = (s for s in tree.body if isinstance(s, DEFINING) and name in names_of(s))
        goal = self.trees.setdefault(target, ast.Module([], []))
        brought = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        used = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        own = [n for s in tree.body if isinstance(s, DEFINING) for n in names_of(s) if n != name]
        needed = [ast.ImportFrom(module, [ast.alias(each)], 0) for each in own if each in used]
        imports = _origins([*brought, *needed])
        there = _origins(goal.body)
        clash = {each for each in imports.keys() & there.keys() if imports[each] != there[each]}
        if clash or {name, *imports} & set(_defined(goal.body)) or name in {*imports, *there}:
            return False
        tree.body.remove(statement)
        new = [n for each, n in imports.items() if each not in there]
        goal.body += [*(_import(*each) for each in new), statement]
        tree.body.insert(0, ast.ImportFrom(target, [ast.alias(name)], 0))
        if not passed_on:
            self._import_from(module, name, target)
        return True

    def _import_from(self, old: str, name: str, new: str) -> None:
        """Have others import a name from another module."""
        for tree in self.trees.values():
            for node in ast.walk(tree):
                for field in ("body", "orelse"):
                    body = getattr(node, field, None)
                    if isinstance(body, list):
                        setattr(
                            node, field, [each for s in body for each in _split(s, old, name, new)]
                        )

    def rename_module(self, old: str, new: str) -> None:
        """Give a module another name, in another folder or the same."""
        self.trees[new] = self.trees.pop(old)
        parent, _, last = old.rpartition(".")
        new_parent, _, new_last = new.rpartition(".")
        for tree in self.trees.values():
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module == old:
                    node.module = new
                for field in ("body", "orelse"):
                    body = getattr(node, field, None)
                    if isinstance(body, list):
                        names = (parent, last, new_parent, f"{new_last} as {last}")
                        setattr(node, field, [e for s in body for e in _split(s, *names)])

    def merge(self, module: str, into: str) -> bool:
        """Move all of a module into another one; what is left only passes its names on."""
        names = self.definitions(module)
        everything = [s for s in self.trees[module].body if isinstance(s, DEFINING)]
        if len(names) != len(everything):
            return False
        done = [self.move(module, name, into, passed_on=False) for name in names]
        return all(done)


def _split(
    node: ast.stmt, old: str, name: str, new: str, spelled: str | None = None
) -> Iterator[ast.stmt]:
    """`from old import name, other` as two imports, the first one from `new`."""
    if not isinstance(node, ast.ImportFrom) or node.module != old:
        yield node
        return
    moved = [alias for alias in node.names if alias.name == name]
    node.names = [alias for alias in node.names if alias.name != name]
    if node.names:
        yield node
    for alias in moved:
        if spelled:
            first, _, last = spelled.partition(" as ")
            alias = ast.alias(first, alias.asname or last)
        yield ast.ImportFrom(new, [alias], 0)


def _rename_in(node: ast.AST, old: str, new: str) -> None:
    match node:
        case ast.Name() if node.id == old:
            node.id = new
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if node.name == old:
            node.name = new
        case ast.Global():
            node.names = [new if name == old else name for name in node.names]


def _local_names(tree: ast.Module) -> set[str]:
    """Whatever is bound below the top level: variables, arguments, methods, fields."""
    found: set[str] = set()
    top = {id(target) for statement in tree.body for target in _targets(statement)}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) if id(node) not in top:
                found.add(name)
            case ast.arg(arg=name):
                found.add(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) if node not in tree.body:
                found.add(name)
    return found


def _targets(statement: ast.stmt) -> Iterator[ast.AST]:
    targets = getattr(statement, "targets", [getattr(statement, "target", None)])
    for target in targets:
        yield from ast.walk(target) if target is not None else ()


def _origins(body: list[ast.stmt]) -> dict[str, tuple[str | None, str, str | None]]:
    """By the name that an import binds: the module, the name there, and the name here."""
    found = {}
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            for alias in node.names:
                found[alias.asname or alias.name] = (module, alias.name, alias.asname)
    return found


def _import(module: str | None, name: str, asname: str | None) -> ast.stmt:
    alias = ast.alias(name, asname)
    return ast.ImportFrom(module, [alias], 0) if module else ast.Import([alias])


def _defined(body: list[ast.stmt]) -> set[str]:
    return {name for node in body if isinstance(node, DEFINING) for name in names_of(node)}


def _dotted(node: ast.expr) -> str | None:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None
