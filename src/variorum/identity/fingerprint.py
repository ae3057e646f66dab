"""Compute fingerprints: content hashes of the code that a stage's function reaches.

Nothing is imported or run. Starting from the function and from the components that settings chose,
every name is followed to the definition it stands for; the fingerprint is the hash of the function,
in which each name is replaced by the hash of what it stands for. So a stage's key changes when code
that the stage runs changes, and stays when anything else does: also when code is moved or renamed.

What counts: functions, classes (whole), module-level assignments, what runs when the modules are
imported, which library a name is from, and package data whose file or folder is named by a literal
of reached code, or by such data. What doesn't: comments, docstrings, formatting, annotations of
functions, where a definition stands and what it is called, and the modules outside (`is_outside`),
which decide nothing that does not also enter a key as a value; their constants do count.

What cannot be seen: names put together at run time and the versions of other libraries; components,
which settings choose by name, are therefore given as extra roots. docs/keys.md lists the rest.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from variorum.base.components import CONTRACTS, PACKAGE, module_name
from variorum.identity.modules import LOOSE, WHOLE
from variorum.identity.package_code import Code, Symbol

MEANINGS = ": names"
"""Suffix of a definition's name, in recorded sources: what the names in it stand for."""

ROOTS = "roots"
"""In place of a definition's name, before `MEANINGS`: the roots of the code."""

FUNCTION = "run"
"""Name of the root that is the stage's function."""


@dataclass(frozen=True)
class Fingerprint:
    """Hold the hash of what a stage reaches, and the source of each part.

    libraries: names, as they are imported, of the other libraries that it uses.
    """

    digest: str
    sources: dict[str, str] = field(compare=False)
    libraries: frozenset[str] = field(default=frozenset(), compare=False)


def fingerprint(
    function: str, parts: Iterable[tuple[str, str]] = (), package: Path | Code = PACKAGE
) -> Fingerprint:
    """Return the fingerprint of `function` ("module:name") with its chosen components.

    `parts` are (folder, option) pairs of `canonical.chosen_components`; of each part the names
    count that its folder's contract lists. `package` is the folder of the package's source, or
    what was read of it for other fingerprints.
    """
    code = package if isinstance(package, Code) else Code(package)
    roots = _roots(code, function, parts)
    reached = _reach(code, roots.values())
    hashes = code.hashes(reached)
    loose = {node: digest for node, digest in hashes.items() if node.endswith(f":{LOOSE}")}
    digest = joined_digest({name: hashes[str(root)] for name, root in roots.items()}, loose)
    sources: dict[str, str] = {}
    for symbol in sorted(reached):
        if symbol.name != WHOLE:
            sources[str(symbol)] = code.source(symbol.module).source_of(symbol.name)
        if (lines := list(code.definition(symbol).meanings())) or symbol.name == WHOLE:
            sources[f"{symbol}{MEANINGS}"] = "\n".join(lines)
    for file in sorted(code.data_files(reached)):
        sources[file] = code.files[file].decode("utf-8", errors="replace")
    sources[f"{ROOTS}{MEANINGS}"] = "\n".join(f"{name} is {root}" for name, root in roots.items())
    return Fingerprint(digest, sources, frozenset(code.libraries(reached)))


def joined_digest(roots: Mapping[str, str], loose: Mapping[str, str]) -> str:
    """Return one hash of the roots, by name, and of what runs on import."""
    lines = [f"{name} {digest}" for name, digest in sorted(roots.items())]
    lines += sorted(f"{LOOSE} {digest}" for digest in loose.values())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _roots(code: Code, function: str, parts: Iterable[tuple[str, str]]) -> dict[str, Symbol]:
    """Return where the code begins: the function, and the contracts of its components."""
    roots = {FUNCTION: Symbol(*function.split(":"))}
    for folder, option in parts:
        module = module_name(folder, option)
        for name in CONTRACTS[folder]:
            if code.source(module).binds(name):
                roots[f"{option}.{name}"] = code.home(Symbol(module, name))
    return roots


def _reach(code: Code, roots: Iterable[Symbol]) -> set[Symbol]:
    reached: set[Symbol] = set()
    waiting = list(roots)
    while waiting:
        symbol = waiting.pop()
        if symbol not in reached:
            reached.add(symbol)
            waiting.extend(code.references(symbol))
    return {each for each in reached if each.name == WHOLE or code.says(each)}
