"""Run code and note what of a package ran or was read: the least that a fingerprint must hold.

It shares nothing with `variorum.identity.fingerprint`.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any


def module_of(file: Path, package: Path) -> str:
    """The dotted name of a file of a package."""
    parts = [package.name, *file.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass(frozen=True)
class Evidence:
    """What was seen to happen, by names, as it can be written down.

    ran: the top-level definitions, as `module:name`, parts of which ran; by each the names of its
    module that it may have used. calls: the calling definition, and what it called, as
    `module:qualified name`. opened: files of the package, by path.
    """

    ran: dict[str, list[str]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)


class Watch:
    """What is noted while code runs."""

    def __init__(self, package: Path) -> None:
        self.package = package
        self.opened: set[Path] = set()
        self._folder = f"{package}/"
        # By identity, as the hash of code is slow; kept, so that no other code has its identity.
        self._known: dict[int, tuple[CodeType, bool]] = {}
        self._calls: dict[tuple[int, int], tuple[CodeType | None, CodeType]] = {}

    def on_call(self, frame: FrameType, event: str, argument: Any) -> None:
        """Note a call, as a function for `sys.settrace`."""
        code = frame.f_code
        known = self._known.get(id(code))
        if known is None:
            known = self._known[id(code)] = (code, self.holds(code))
        if known[1]:
            caller = frame.f_back.f_code if frame.f_back else None
            self._calls.setdefault((id(caller), id(code)), (caller, code))

    def evidence(self) -> Evidence:
        """Everything so far, by names."""
        ran: dict[str, set[str]] = {}
        for _, code in self._calls.values():
            ran.setdefault(self._definition_of(code), set()).update(code.co_names)
        calls = {
            (self._definition_of(caller), f"{self._module_of(code)}:{code.co_qualname}")
            for caller, code in self._calls.values()
            if caller and self.holds(caller)
        }
        opened = (file.relative_to(self.package).as_posix() for file in self.opened)
        return Evidence(
            {name: sorted(names) for name, names in sorted(ran.items())},
            sorted(calls),
            sorted(opened),
        )

    def holds(self, code: CodeType) -> bool:
        """Whether code stands in a file of the package."""
        file = code.co_filename
        return file.startswith(self._folder) and file.endswith(".py")

    def _module_of(self, code: CodeType) -> str:
        return module_of(Path(code.co_filename), self.package)

    def _definition_of(self, code: CodeType) -> str:
        """The top-level definition that code is part of."""
        return f"{self._module_of(code)}:{code.co_qualname.split('.')[0]}"


_watching: list[Watch] = []


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _watching and isinstance(arguments[0], (str, Path)):
        watch = _watching[-1]
        if str(arguments[0]).startswith(f"{watch.package}/"):
            watch.opened.add(Path(arguments[0]))


@cache
def _listen() -> None:
    sys.addaudithook(_on_event)  # for the rest of the process: none is ever removed


@contextmanager
def watched(package: Path) -> Iterator[Watch]:
    """Note what of a package's code runs and which of its files are opened."""
    _listen()
    _watching.append(Watch(package))
    threading.settrace(_watching[-1].on_call)
    sys.settrace(_watching[-1].on_call)
    try:
        yield _watching[-1]
    finally:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        _watching.pop()
