"""Hold locks between processes, and read and change the lock files that are committed.

A lock between processes is the kernel's (`flock`) and ends with the process that holds it, so a
kill leaves nothing to clear. A committed lock file (`config/*.lock`, pins) holds entries by name,
each a few fields; sorted, so that to git a new entry is a few new lines.
"""

import fcntl
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode

from variorum.base.atomic import write_atomically
from variorum.base.errors import VariorumError

E = TypeVar("E")

FOLDER = "scratch/locks"
"""Folder of the files that processes lock, within a project."""

FAULTS = (YAMLError, ValueError, AttributeError, LookupError, TypeError, RecursionError)
"""Errors that reading a damaged file raises."""


# Between processes


@contextmanager
def exclusive(path: Path, wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock `path` alone; `wait` is called once before waiting for another process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if wait:
                wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_held(path: Path) -> bool:
    """Check whether a process holds a lock.

    A free lock is taken for a moment.
    """
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


class Presence:
    """Hold a lock that all processes of one kind share until they end."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")

    def is_alone(self) -> bool:
        """Check whether no other process shares it; if so, others wait for `share`.

        It tries twice, as `is_held` takes the lock for a moment.
        """
        for _ in range(2):
            with suppress(BlockingIOError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            self.share()  # waits for a process that holds it alone just now
        return False

    def share(self) -> None:
        """Hold the lock together with others."""
        fcntl.flock(self._file, fcntl.LOCK_SH)


# Committed files


@dataclass(frozen=True)
class LockFile(Generic[E]):
    """Describe a committed file of entries by name.

    path: within the project. header: the comment that it begins with. holds: what an entry is, for
    messages. decode: Return an entry by its fields; raises `ValueError(field)` for a wrong one.
    encode: Return its fields, in the order of the file.
    """

    path: str
    header: str
    holds: str
    decode: Callable[[Mapping[str, Any]], E]
    encode: Callable[[E], Mapping[str, str | int | float]]

    def read(self, root: Path) -> dict[str, E]:
        """Return all entries; raises `VariorumError` with file and line if it is damaged."""
        if not (root / self.path).is_file():
            return {}
        line, problem = "", f"an entry should be {self.holds}"
        try:
            return self.parse((root / self.path).read_text(encoding="utf-8"))
        except MarkedYAMLError as error:
            line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
            problem = " ".join(str(error.problem).split())
        except FAULTS:
            pass
        raise VariorumError(f"{self.path}{line}: cannot be read ({problem}); {self._remedy}")

    def parse(self, text: str) -> dict[str, E]:
        """Return the entries in the text of a lock file.

        Raises one of `FAULTS` if it is damaged.
        """
        found = YAML(typ="safe", pure=True).load(text) or {}
        return {str(name): self._entry(str(name), data, text) for name, data in found.items()}

    def _entry(self, name: str, data: Any, text: str) -> E:
        fields = {str(f): v for f, v in data.items()} if isinstance(data, Mapping) else {}
        try:
            return self.decode(fields)
        except FAULTS as error:
            field = str(error.args[0]) if error.args else ""
        place = (name, field) if field in fields else (name,)
        raise VariorumError(
            f"{self.path}:{_lines(text).get(place, 1)}: {'.'.join(place)}: "
            f"{fields.get(field, data)!r} should be {self.holds}; {self._remedy}"
        )

    @property
    def _remedy(self) -> str:
        return (
            f"restore it with `git checkout -- {self.path}`, or, after a merge, keep the lines of "
            "both sides"
        )

    def lines(self, root: Path) -> dict[tuple[str, ...], str]:
        """Return where each entry and each field of it stands, as `config/sources.lock:3`."""
        if not (root / self.path).is_file():
            return {}
        text = (root / self.path).read_text(encoding="utf-8")
        return {place: f"{self.path}:{line}" for place, line in _lines(text).items()}

    def text(self, entries: Mapping[str, E]) -> str:
        """Return the text of the file with these entries."""
        lines = [self.header]
        for name, entry in sorted(entries.items()):
            lines.append(f"{quoted(name)}:\n")
            lines += [f"  {field}: {_scalar(v)}\n" for field, v in self.encode(entry).items()]
        return "".join(lines)

    @contextmanager
    def changing(
        self, root: Path, say: Callable[[str], None] = lambda line: None
    ) -> Iterator[dict[str, E]]:
        """Yield the entries to change them; write them after the block, if it raised nothing.

        One process at a time may do so, from reading to writing; `say` reports waiting.
        """
        lock = root / FOLDER / f"{Path(self.path).stem}-lock"
        with exclusive(lock, lambda: say(f"waits for another process that changes {self.path}")):
            known = self.read(root)
            before = self.text(known)
            yield known
            if (after := self.text(known)) != before:
                write_atomically(root / self.path, after.encode())


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line of each name, and of each field below it, counted from 1."""
    found: dict[tuple[str, ...], int] = {}
    root = YAML(typ="safe", pure=True).compose(text)
    for name, entry in root.value if isinstance(root, MappingNode) else ():
        found[(name.value,)] = name.start_mark.line + 1
        for field, _ in entry.value if isinstance(entry, MappingNode) else ():
            found[name.value, field.value] = field.start_mark.line + 1
    return found


def _scalar(value: str | int | float) -> str:
    """Return a value in YAML; text in quotes, as a hash may resemble a number."""
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    """Return text as a YAML string.

    YAML reads JSON's escaped surrogates as two characters, so they are written as one escape.
    """
    plain = json.dumps(text, ensure_ascii=False)
    return re.sub("[^ -~]", lambda found: f"\\U{ord(found[0]):08x}", plain)
