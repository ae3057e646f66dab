"""The fingerprint of code: a hash of what a function reaches inside this package, found statically.

Nothing is imported or run. Starting from a definition, every name in its syntax tree is looked up
in its module and followed into the modules that it is imported from; the fingerprint is the hash of
the syntax of all definitions reached that way. So a stage's key changes when code that the stage
runs changes, and stays when anything else does.

What counts: functions, classes (whole), module-level assignments, what runs when the modules are
imported, what imported names stand for, and package data whose file or folder is named by a literal
of reached code, or by such data. What doesn't: comments, docstrings, formatting, annotations of
functions, and the modules of `OUTSIDE`, which decide nothing that does not also enter a key as a
value; constants of theirs that reached code uses do count.

What cannot be seen: names put together at run time and the versions of other libraries; components,
which settings choose by name, are therefore given as extra roots. docs/keys.md lists the rest.
"""

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from variorum.components import PACKAGE, module_name
from variorum.syntax import (
    ASSIGNING,
    DEFINING,
    FUNCTIONS,
    LOOSE,
    WHOLE,
    Dotted,
    Origin,
    Source,
    bound_names,
    effective,
    parsed,
    read,
    read_source,
    span,
)

OUTSIDE = frozenset(
    {
        "variorum",
        "variorum.ablation_plan",
        "variorum.ablations",
        "variorum.atomic",
        "variorum.cli",
        "variorum.components",
        "variorum.conversation",
        "variorum.described",
        "variorum.edits",
        "variorum.errors",
        "variorum.experiment_settings",
        "variorum.experiments",
        "variorum.fingerprint",
        "variorum.kept",
        "variorum.library",
        "variorum.machine",
        "variorum.paces",
        "variorum.placing",
        "variorum.plan",
        "variorum.project",
        "variorum.progress",
        "variorum.references",
        "variorum.runner",
        "variorum.sources",
        "variorum.store",
        "variorum.syntax",
        "variorum.task",
    }
)
"""Modules that no fingerprint enters; a test holds this list against the folder.

Of what lies outside, two decide bytes of results all the same, for all stages alike: `store` writes
manifests, and `engines.tracking.bundle` puts `bundle/` into reports and tables. These copy what was
computed and compute nothing, so an edit of them shall not make a training run again; one that
changes what they write raises `store.SCHEMA`.
"""

OUTSIDE_FOLDERS = (
    "variorum.audit.",
    "variorum.config",
    "variorum.engines.",
    "variorum.forecasts.",
    "variorum.other_code.",
    "variorum.stages.stage_settings",
)
"""Below them lies what plans, moves or looks at results, and computes none."""

PACKAGE_NAME = "variorum"

MEANINGS = ": names"
"""After a module's name, in kept sources: what imported names stand for there."""

ORDER = "order of statements"
"""Among those: in which order a module's statements run, where that can matter."""

_NO_DATA = (".py", ".pyc", ".pyi")


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
    function: str, parts: Iterable[tuple[str, str]] = (), package: "Path | Code" = PACKAGE
) -> Fingerprint:
    """Fingerprint of `function` ("variorum.stages.pretrain:run") with its chosen components.

    `parts` are (folder, option) pairs as `config.chosen_components` gives them; each counts whole.
    `package` is the folder of the package's source, or what was read of it for other fingerprints.
    """
    code = package if isinstance(package, Code) else Code(package)
    module, name = function.split(":")
    roots = [Symbol(module, name), *(Symbol(module_name(*part), WHOLE) for part in parts)]
    hashes, sources = {}, {}
    libraries: set[str] = set()
    reached = _reach(code, roots)
    for symbol in sorted(reached):
        text = code.source(symbol.module)
        if text.of(symbol.name):
            hashes[str(symbol)] = text.digest(symbol.name)
            sources[str(symbol)] = text.source_of(symbol.name)
    for file in code.data_files(reached):
        content = (code.package / file).read_bytes()
        hashes[file] = hashlib.sha256(content).hexdigest()
        sources[file] = content.decode("utf-8", errors="replace")
    for inside, names in _by_module(reached).items():
        lines = {f"{local} is {meaning}" for local, meaning in code.meanings(inside, names)}
        order = code.source(inside).order(names)
        if len(order) > 1:
            lines.add(f"{ORDER} is {', '.join(order)}")
        hashes |= {f"{inside}: {line}": "" for line in lines}
        sources |= {f"{inside}{MEANINGS}": "\n".join(sorted(lines))} if lines else {}
        libraries |= code.libraries(inside, names)
    return Fingerprint(_joined(hashes), sources, frozenset(libraries))


def _joined(hashes: Mapping[str, str]) -> str:
    """One hash of many, by name."""
    joined = "\n".join(f"{name} {digest}" for name, digest in sorted(hashes.items()))
    return hashlib.sha256(joined.encode()).hexdigest()


def _by_module(symbols: Iterable[Symbol]) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for symbol in symbols:
        names.setdefault(symbol.module, set()).add(symbol.name)
    return names


def _reach(code: "Code", roots: list[Symbol]) -> set[Symbol]:
    reached: set[Symbol] = set()
    waiting = list(roots)
    while waiting:
        symbol = waiting.pop()
        if symbol not in reached and code.counts(symbol):
            reached.add(symbol)
            waiting.extend(code.references(symbol))
    return reached


class Code:
    """The package's source as it is now: each file is read once, when it is asked for."""

    def __init__(self, package: Path) -> None:
        """`package` is the folder of the package's source."""
        self.package = package
        self._paths: dict[str, Path | None] = {}
        self._sources: dict[str, Source] = {}
        self._references: dict[Symbol, set[Symbol]] = {}

    def path(self, module: str) -> Path | None:
        """The file of a module of this package; None for anything else."""
        if module not in self._paths:
            self._paths[module] = self._find(module)
        return self._paths[module]

    def _find(self, module: str) -> Path | None:
        first, *rest = module.split(".")
        if first != PACKAGE_NAME:
            return None
        files = [self.package.joinpath(*rest, "__init__.py")]
        files += [self.package.joinpath(*rest).with_suffix(".py")] if rest else []
        return next((file for file in files if file.is_file()), None)

    def source(self, module: str) -> Source:
        """What a module of this package says."""
        if module not in self._sources:
            file = self.path(module)
            assert file is not None, module
            text = file.read_text(encoding="utf-8")
            try:
                self._sources[module] = read_source(module, file.name == "__init__.py", text)
            except SyntaxError as error:
                error.filename = file.relative_to(self.package).as_posix()
                raise
        return self._sources[module]

    def counts(self, symbol: Symbol) -> bool:
        """Whether it is code of this package; of modules outside, only constants are."""
        if self.path(symbol.module) is None:
            return False
        if not _is_outside(symbol.module):
            return True
        text = self.source(symbol.module)
        statements = text.of(symbol.name)
        if symbol.name in (WHOLE, LOOSE) or not statements:
            return symbol.name in text.imports  # it is passed on from elsewhere
        return all(isinstance(each.node, ASSIGNING) for each in statements)

    def references(self, symbol: Symbol) -> set[Symbol]:
        """What a definition mentions, and what runs because its module is imported."""
        if symbol not in self._references:
            self._references[symbol] = set(self._referred(symbol))
        return self._references[symbol]

    def _referred(self, symbol: Symbol) -> Iterator[Symbol]:
        text = self.source(symbol.module)
        if symbol.name == WHOLE:
            yield from (Symbol(symbol.module, name) for name in text.names)
            for local in text.passed_on:
                yield from self._meant(text, (local,))
        elif not text.of(symbol.name):
            yield from self._passed_on(text, symbol.name)
        for statement in text.of(symbol.name):
            for mention in statement.reading.mentions:
                yield from self._meant(text, mention)
            for origin in statement.imports:
                yield from self._run_by(origin)
        if symbol.name != LOOSE:
            yield Symbol(symbol.module, LOOSE)
            return
        for origin in (Origin(symbol.module), *text.runs):
            yield from self._run_by(origin)

    def _passed_on(self, text: Source, name: str) -> Iterator[Symbol]:
        """Where a name that a module does not define may come from."""
        if name in text.imports or name in text.dotted:
            yield from self._meant(text, (name,))
        elif text.stars:
            yield from (Symbol(star, name) for star in text.stars)
        elif name != LOOSE:
            yield Symbol(text.module, "__getattr__" if text.defines("__getattr__") else WHOLE)

    def _meant(self, text: Source, mention: Dotted) -> Iterator[Symbol]:
        """The definitions that a dotted name in a module may lead to."""
        local, *attributes = mention
        if text.defines(local):
            yield Symbol(text.module, local)
        for origin in text.imports.get(local, ()):
            yield from self._led_to((*origin.path, *attributes))
        for module in text.dotted.get(local, ()):
            yield from self._led_to(mention)
            if tuple(module.split("."))[: len(mention)] == mention:  # a package as a value
                yield Symbol(module, WHOLE)
        for star in text.stars:
            if self.path(star) and self._binds(star, local):
                yield Symbol(star, local)

    def _led_to(self, dotted: Dotted) -> Iterator[Symbol]:
        """The definition that a dotted name leads to, in the deepest module that it names."""
        for depth in range(1, len(dotted) + 1):
            module, rest = ".".join(dotted[:depth]), dotted[depth:]
            deeper = bool(rest) and self._is_module(f"{module}.{rest[0]}")
            if not deeper or self._binds(module, rest[0]):
                yield Symbol(module, rest[0] if rest else WHOLE)
            if not deeper:
                return

    def _is_module(self, name: str) -> bool:
        """Whether it is a file of this package, or a folder of such files."""
        first, *rest = name.split(".")
        if first != PACKAGE_NAME:
            return False
        return self.path(name) is not None or self.package.joinpath(*rest).is_dir()

    def _binds(self, module: str, name: str) -> bool:
        if self.path(module) is None:
            return False
        text = self.source(module)
        return text.defines(name) or name in text.imports

    def _run_by(self, origin: Origin) -> Iterator[Symbol]:
        """What runs when a module is imported, and the packages that it lies in."""
        for depth in range(1, len(origin.path) + 1):
            module = ".".join(origin.path[:depth])
            if self.path(module) and not _is_outside(module):
                yield Symbol(module, LOOSE)

    def meanings(self, module: str, names: set[str]) -> Iterator[tuple[str, str]]:
        """What imported names that these definitions mention stand for."""
        text = self.source(module)
        for local in self._mentioned(text, names):
            for origin in text.imports.get(local, ()):
                yield local, self._shown(origin)
            for dotted in text.dotted.get(local, ()):
                yield local, dotted

    def _shown(self, origin: Origin) -> str:
        """Which of the modules outside a name is from does not matter."""
        found = list(self._led_to(origin.path))
        outside = found and all(_is_outside(symbol.module) for symbol in found)
        return f"outside:{found[0].name}" if outside else str(origin)

    def libraries(self, module: str, names: set[str]) -> set[str]:
        """Other libraries, those of Python itself apart, that these definitions mention."""
        text = self.source(module)
        found: set[str] = set()
        for local in self._mentioned(text, names):
            found |= {origin.path[0] for origin in text.imports.get(local, ())}
            found |= {local} & text.dotted.keys()
        return found - {PACKAGE_NAME} - sys.stdlib_module_names

    def _mentioned(self, text: Source, names: set[str]) -> set[str]:
        found = {name for name in names if not text.of(name)}  # passed on from elsewhere
        for name in names:
            for statement in text.of(name):
                found |= {first for first, *_ in statement.reading.mentions}
        return found

    def data_files(self, symbols: Iterable[Symbol]) -> set[str]:
        """Package data that a literal of these definitions names, or the data named so far."""
        found: set[Path] = set()
        for symbol in symbols:
            file = self.path(symbol.module)
            for statement in self.source(symbol.module).of(symbol.name):
                for literal in statement.reading.literals & self._data.keys():
                    found |= {
                        data
                        for folder, data in self._data[literal]
                        if folder is None or (file and file.parent in (folder, *folder.parents))
                    }
        return {file.relative_to(self.package).as_posix() for file in self._with_named(found)}

    def _with_named(self, files: set[Path]) -> set[Path]:
        """These files and those that they name, as templates do that include others."""
        found, waiting = set(files), list(files)
        while waiting:
            text = waiting.pop().read_bytes()
            named = {data for data in self._every_data if data.name.encode() in text}
            waiting.extend(named - found)
            found |= named
        return found

    @cached_property
    def _every_data(self) -> set[Path]:
        return {data for entries in self._data.values() for _, data in entries}

    @cached_property
    def _data(self) -> dict[str, set[tuple[Path | None, Path]]]:
        """Files that are no code, by what a literal may call them.

        That is the name, with folders before it or without, or the name of a folder that they lie
        in, which only code beside that folder can mean.
        """
        found: dict[str, set[tuple[Path | None, Path]]] = {}
        for file in self.package.rglob("*"):
            hidden = file.name.startswith(".") or file.name.endswith("~")
            if hidden or file.suffix in _NO_DATA or not file.is_file():
                continue
            parts = file.relative_to(self.package).parts
            for start in range(len(parts)):
                found.setdefault("/".join(parts[start:]), set()).add((None, file))
                if start < len(parts) - 1:
                    folder = "/".join(parts[start:-1])
                    found.setdefault(folder, set()).add((file.parent, file))
        return found


def _is_outside(module: str) -> bool:
    return module in OUTSIDE or module.startswith(OUTSIDE_FOLDERS)


# Reading kept sources again, to compare them


@dataclass(frozen=True)
class Part:
    """A definition in kept sources: as it was typed, and what of it the hash stands on."""

    text: str
    syntax: str


def kept_parts(sources: Mapping[str, str]) -> dict[str, Part]:
    """What kept `sources` define: functions, methods, the rest of a class, assignments, data files.

    Names are those of symbols, a method's being `module:Class.method`. Two parts with one syntax
    differ by comments, docstrings, formatting or annotations at most.
    """
    found: dict[str, Part] = {}
    for symbol, text in sources.items():
        module, _, name = symbol.partition(":")
        if symbol.endswith(MEANINGS):
            continue
        if not name:  # package data
            found[symbol] = Part(text, text)
        elif name == WHOLE or f"{module}:{WHOLE}" not in sources:
            pieces: dict[str, list[tuple[str, str]]] = {}
            for part, inner, syntax in _definitions(text):
                if part != LOOSE or name in (WHOLE, LOOSE):
                    pieces.setdefault(f"{module}:{part}", []).append((inner, syntax))
            for part, texts in pieces.items():
                found[part] = Part(*("\n".join(each) for each in zip(*texts, strict=True)))
    return found


def kept_digest(sources: Mapping[str, str]) -> str:
    """The fingerprint whose kept `sources` these are, to hold them against the one in a spec.

    Raises `SyntaxError` for what is no source.
    """
    hashes: dict[str, str] = {}
    for symbol, text in sources.items():
        module, _, name = symbol.partition(":")
        if symbol.endswith(MEANINGS):
            hashes |= {f"{module}: {line}": "" for line in text.splitlines()}
        else:
            counted = "\n".join(_syntax(text)) if name else text
            hashes[symbol] = hashlib.sha256(counted.encode()).hexdigest()
    return _joined(hashes)


def kept_meanings(sources: Mapping[str, str]) -> dict[str, dict[str, set[str]]]:
    """By module and name: what an imported name stood for; empty for older results."""
    found: dict[str, dict[str, set[str]]] = {}
    for symbol, text in sources.items():
        if symbol.endswith(MEANINGS):
            names = found.setdefault(symbol.removesuffix(MEANINGS), {})
            for line in text.splitlines():
                local, _, meaning = line.partition(" is ")
                names.setdefault(local, set()).add(meaning)
    return found


def same_syntax(one: str, other: str) -> bool:
    """Whether two texts of a definition differ by nothing that counts."""
    try:
        return _syntax(one) == _syntax(other)
    except SyntaxError:
        return one == other


def _syntax(text: str) -> list[str]:
    inside = text[:1].isspace()  # a method
    body = parsed(f"if 1:\n{text}" if inside else text).body
    return [read(node).written for node in effective(body)]


def _definitions(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, text and syntax of each definition in a symbol's source."""
    lines = text.split("\n")
    for node in effective(parsed(text).body):
        if not isinstance(node, ast.ClassDef):
            name = ", ".join(bound_names(node)) if isinstance(node, DEFINING) else ""
            yield (name or LOOSE, "\n".join(lines[slice(*span(node))]), read(node).written)
            continue
        methods = [inner for inner in node.body if isinstance(inner, FUNCTIONS)]
        inside = {line for method in methods for line in range(*span(method))}
        rest = [lines[line] for line in range(*span(node)) if line not in inside]
        shell = copy(node)
        shell.body = [inner for inner in node.body if inner not in methods]
        yield node.name, "\n".join(rest), read(shell).written
        for method in methods:
            written = "\n".join(lines[slice(*span(method))])
            yield f"{node.name}.{method.name}", written, read(method).written
