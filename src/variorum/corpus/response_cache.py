"""Store the answers of an API as they came, and check them as documents.

So nothing is asked twice. An answer that cannot be parsed is not stored, or every later fetch
would stumble over it.

A source that asks an API turns a sequence of answers into documents, and asks for each answer
through `Answers`, which stores it in a folder. A killed fetch continues from there. The checksum
covers the documents, as `documents.line` writes them, and not the answers, which hold times
and counts that change by the hour.
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from variorum.corpus import documents
from variorum.corpus.documents import Document
from variorum.corpus.fetch_context import ChecksumError, FetchContext, folder_of
from variorum.corpus.source import ChangingSource

_SAME_FETCH = 3600  # seconds after the last answer within which a killed fetch is continued
_DOUBTFUL = ".doubtful"


class Answers:
    """Store the answers of one fetch, each in a file named by its question's hash.

    `say` takes a line of progress; it is silent where answers are only read again.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda line: None) -> None:
        self.folder, self.say = folder, say

    def kept(self, question: str) -> bytes | None:
        """Return the stored answer, or None if the question was not asked yet."""
        file = self._file(question)
        found = [each for each in (file, file.with_suffix(_DOUBTFUL)) if each.exists()]
        return found[0].read_bytes() if found else None

    def keep(self, question: str, answer: bytes) -> None:
        """Store an answer: whole or not at all, if the process is killed."""
        unfinished = self.folder / ".unfinished"
        unfinished.write_bytes(answer)
        unfinished.replace(self._file(question))

    def doubt(self, question: str) -> None:
        """Store the answer for this fetch alone: a fetch that continues it asks again."""
        file = self._file(question)
        if file.exists():
            file.replace(file.with_suffix(_DOUBTFUL))

    def forget(self, question: str) -> None:
        """Delete the stored answer."""
        file = self._file(question)
        for each in (file, file.with_suffix(_DOUBTFUL)):
            each.unlink(missing_ok=True)

    def _file(self, question: str) -> Path:
        return self.folder / hashlib.sha256(question.encode()).hexdigest()[:32]


Reader = Callable[[Answers], Iterator[Document]]
"""Yields all documents of a source; asks for the answers that are not stored yet."""


def fetch(source: ChangingSource, context: FetchContext, read: Reader) -> Iterator[Document]:
    """Yield the documents of `read`, if they have the source's checksum (or it has none).

    Complete answers are used if they have the checksum; the answers of a killed fetch are
    completed. Raises `ChecksumError` for other documents than expected.
    """
    folder = _Folder(source, context)
    expected = source.sha256
    if expected is None or folder.known(read) != expected:
        resumed = folder.unfinished.exists()
        found, _ = folder.ask(read)
        if resumed and expected not in (None, found):
            context.report(f"{source.lock_name}: what was kept does not fit; asks for all anew")
            found, _ = folder.ask(read)
        if expected not in (None, found):
            raise ChecksumError(source.lock_name, str(expected), found, folder.complete)
    yield from read(Answers(folder.complete))


def held(source: ChangingSource, context: FetchContext, read: Reader) -> tuple[str, int]:
    """Return SHA-256 and size in bytes of the documents that the API gives now.

    Answers of a fetch that was killed within the hour are used, and that fetch is continued.
    Anything older is asked for anew, as pages of different days together are what the API never
    gave.
    """
    folder = _Folder(source, context)
    folder.discard_old()
    return folder.ask(read)


class _Folder:
    """Locate one source's answers: complete ones, and the rest of a killed fetch."""

    def __init__(self, source: ChangingSource, context: FetchContext) -> None:
        place = context.cache / folder_of(source.lock_name)
        self.complete, self.unfinished = place / "complete", place / "unfinished"
        self._report = context.report

    def known(self, read: Reader) -> str | None:
        """Return the SHA-256 of the documents in the complete answers, if there are any."""
        return _digest(read(Answers(self.complete)))[0] if self.complete.exists() else None

    def discard_old(self) -> None:
        """Forget a killed fetch whose last answer came long ago."""
        if self.unfinished.exists():
            age = time.time() - self.unfinished.stat().st_mtime
            if age > _SAME_FETCH:
                shutil.rmtree(self.unfinished)

    def ask(self, read: Reader) -> tuple[str, int]:
        """Ask for missing answers; return SHA-256 and size in bytes of the documents."""
        self.unfinished.mkdir(parents=True, exist_ok=True)
        for doubtful in self.unfinished.glob(f"*{_DOUBTFUL}"):
            doubtful.unlink()
        found = _digest(read(Answers(self.unfinished, self._report)))
        shutil.rmtree(self.complete, ignore_errors=True)
        self.unfinished.rename(self.complete)
        return found


def _digest(found: Iterator[Document]) -> tuple[str, int]:
    """Return SHA-256 and size in bytes of the file that these documents fill."""
    hashed, size = hashlib.sha256(), 0
    for document in found:
        line = documents.line(document).encode()
        hashed.update(line)
        size += len(line)
    return hashed.hexdigest(), size
