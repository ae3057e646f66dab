"""Read text files on this machine: a file, a folder or a pattern.

Each file is a document.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from variorum.base.errors import VariorumError
from variorum.config.types import setting, unordered
from variorum.corpus import local_files
from variorum.corpus.decoding import decode
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus.source import SOURCES, LocalSource


class FilesSource(LocalSource):
    """Describe text files on this machine: a file, a folder, or a pattern."""

    kind: Literal["files"] = setting("files", "The kind of source.", component=SOURCES)
    suffixes: Annotated[tuple[str, ...], unordered(".txt", ".md")] = setting(
        (".txt", ".md"), "In a folder, the endings of the files that are read."
    )


def fetch(settings: FilesSource, context: FetchContext) -> Iterator[Document]:
    """Yield a document per file, in the order of their paths.

    Raises `VariorumError` when nothing is found, the checksum differs, a file is no UTF-8 text,
    or there is no text in any.
    """
    base, files = local_files.checked(
        settings.path, settings.suffixes, context.root, settings.sha256
    )
    context.report(f"{settings.path}: {len(files)} files")
    empty = True
    for file in files:
        name = file.relative_to(base).as_posix()
        text = decode(file.read_bytes(), str(file))
        empty = empty and not text.strip()
        yield Document(id=name, group=name, text=text, meta={})
    if empty:
        raise VariorumError(
            f"source.path: the {len(files)} files of {settings.path} hold no text; name others."
        )
