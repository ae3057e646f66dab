"""Define documents: what every source yields and every later step of a corpus reads.

A file of documents holds one JSON object a line (UTF-8, sorted keys), so that it can be streamed,
compared and read by other tools. Documents are read and written one at a time.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Document:
    """Hold one text and where it belongs.

    `id` is unique within its corpus. `group` is what must stay together when a corpus is split: a
    module, a paper, a song, a file. `meta` is small, plain data for people.
    """

    id: str
    group: str
    text: str
    meta: dict[str, Any] = field(default_factory=dict)


def write(path: Path, documents: Iterable[Document]) -> int:
    """Write `documents` to `path`, one a line, and return their number."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for document in documents:
            file.write(line(document))
            count += 1
    return count


def line(document: Document) -> str:
    """Return one document as a line of its file.

    A surrogate, which UTF-8 cannot hold, is written as JSON's escape; all else is written
    unescaped.
    """
    text = json.dumps(asdict(document), ensure_ascii=False, sort_keys=True, allow_nan=False)
    return escaped(text) + "\n"


def escaped(text: str) -> str:
    """Replace surrogates, which UTF-8 cannot hold, by JSON's escapes."""
    return _SURROGATE.sub(_escape, text)


def read(path: Path) -> Iterator[Document]:
    """Yield the documents of `path`, one at a time.

    Raises `VariorumError` for a line that is no document, naming file and line.
    """
    # Bytes end a line at \n only; text would be cut at the line separators inside a document.
    with path.open("rb") as file:
        yield from parsed(file, path)


def parsed(lines: Iterable[bytes], path: Path, first: int = 1) -> Iterator[Document]:
    """Yield the documents in lines of `path`, of which the first has that number.

    Raises `VariorumError` for a line that is no document, naming file and line.
    """
    for number, content in enumerate(lines, start=first):
        with naming(path, number):
            document = of_line(content)
        yield document


@contextmanager
def naming(path: Path, line: int) -> Iterator[None]:
    """Raise `VariorumError` that names file and line for a `ValueError` in the block."""
    try:
        yield
    except ValueError as problem:
        raise VariorumError(
            f"{path}, line {line}: {problem}; a line must be one JSON object with id, "
            "group, text and meta. Make the file again, or fix that line."
        ) from None


def of_line(content: bytes) -> Document:
    """Return the document in a line. Raises `ValueError` when it is something else."""
    data = json.loads(content.decode("utf-8"))
    if not isinstance(data, dict):
        raise ValueError("found no JSON object")
    if wrong := {"id", "group", "text", "meta"} ^ set(data):
        raise ValueError(f"missing or unknown: {', '.join(sorted(wrong))}")
    if not all(isinstance(data[name], str) for name in ("id", "group", "text")):
        raise ValueError("id, group and text must be strings")
    if not isinstance(data["meta"], dict):
        raise ValueError("meta must be an object")
    return Document(**data)


def _escape(surrogate: re.Match[str]) -> str:
    return f"\\u{ord(surrogate[0]):04x}"
