"""Define the errors that people can fix: each shown as one line, without a traceback."""

import errno
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_ALLOWED = (errno.EROFS, errno.EACCES, errno.EPERM)
OUT_OF_ORDER = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO)
IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.ELOOP)
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)

INTERRUPTED = 128 + signal.SIGINT
"""Exit status after an interrupt, as shells set it."""

PACKAGE = Path(__file__).parents[1]

CONTINUE = "no result was touched. To continue, {} and run the same command again"


class VariorumError(Exception):
    """Report something that a user can fix.

    The message says what was found, where, and what to do.
    """


class Stopped(VariorumError):  # noqa: N818 - no mistake was made
    """Report work that ended early on request and can be continued."""


@contextmanager
def clear_about_storage() -> Iterator[None]:
    """Raise `VariorumError` with path, reason and remedy if a disk fails in the block."""
    try:
        yield
    except shutil.Error as error:  # from copying a folder; it holds the reasons as text
        _, place, reason = error.args[0][0]
        line = f"{place}: could not be written ({reason}); {CONTINUE.format('fix that')}"
        raise VariorumError(line) from error
    except OSError as error:
        where = error.filename2 or error.filename or "the project's folder"  # 2: a rename's target
        if error.errno in NO_SPACE:
            what, remedy = "no space is left on the disk (or a quota is used up)", "make room"
        elif error.errno in NOT_ALLOWED:
            what, remedy = f"not allowed here ({error.strerror})", "fix the permissions"
        elif error.errno in OUT_OF_ORDER:
            what, remedy = f"the disk does not work ({error.strerror})", "check the disk"
        elif error.errno in IN_THE_WAY:
            what = f"a file or a broken link is in the way ({error.strerror})"
            remedy = "move it away"
        elif error.errno in NO_LOCKS:
            what = f"this disk has no file locks ({error.strerror})"
            remedy = "move the project to a disk that has them"
        else:
            raise
        raise VariorumError(f"{os.fspath(where)}: {what}; {CONTINUE.format(remedy)}") from error


@contextmanager
def clear_about_memory() -> Iterator[None]:
    """Raise `VariorumError` with size and remedy if memory runs out in the block."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if not _lacks_memory(error):
            raise
        said = str(error).partition("\n")[0]
        line = f"memory ran out{f' ({said})' if said else ''}"
        remedy = "give it more memory, run fewer jobs at once (--cores 1), or give it less text"
        raise VariorumError(f"{line}; {CONTINUE.format(remedy)}") from error


@contextmanager
def clear_about_libraries() -> Iterator[None]:
    """Raise `VariorumError` with the remedy if a library or its part is missing."""
    try:
        yield
    except ImportError as error:
        name = error.name or ""
        library = name.partition(".")[0]
        if library in ("", PACKAGE.name, *sys.stdlib_module_names):  # a fault of the program
            raise
        place = _place_in_package(error)
        # A distribution, as metadata name it, may have dots in its name.
        is_whole = name == library or isinstance(error, PackageNotFoundError)
        if isinstance(error, ModuleNotFoundError) and is_whole:
            needs = f", and {place} needs it" if place else ""
            line = f"the library {name} is missing in {sys.prefix}{needs}; {INSTALL}"
        else:
            imports = f"{place} imports" if place else "is imported"
            line = (
                f"the library {library} in {sys.prefix} lacks what {imports} ({error}); correct "
                f"the name, or if the library is too old, {INSTALL}"
            )
        raise VariorumError(line) from error


@contextmanager
def clear_about_code() -> Iterator[None]:
    """Raise `VariorumError` with file and line if a file of the package is no Python."""
    try:
        yield
    except SyntaxError as error:
        file = PACKAGE / (error.filename or "")  # code for keys is named from the package on
        if not file.is_file() or PACKAGE not in file.parents:
            raise
        place = f"{file.relative_to(PACKAGE.parent)}:{error.lineno}"
        raise VariorumError(f"{place}: {error.msg}; correct that line") from error


INSTALL = (
    "install what this checkout needs: `make setup`, or `pip install -e .` in an environment of "
    "your own"
)


def _place_in_package(error: Exception) -> str:
    """Return the file and line of the package nearest to an error, or ""."""
    for call in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(call.filename)
        if PACKAGE in file.parents and file != Path(__file__):
            return f"{file.relative_to(PACKAGE.parent)}:{call.lineno}"
    return ""


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """End with one line, not a traceback, if a user can fix the error."""
    try:
        with (
            clear_about_memory(),
            clear_about_storage(),
            clear_about_libraries(),
            clear_about_code(),
        ):
            yield
    except VariorumError as error:
        for line in str(error).splitlines():
            print(f"variorum: {line}", file=sys.stderr, flush=True)
        raise SystemExit(INTERRUPTED if isinstance(error, Stopped) else 1) from None


def _lacks_memory(error: BaseException) -> bool:
    """Return whether an error of Python, NumPy, torch or the system says so."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "allocate memory" in said


SHOWN = 5
"""How many names a list shows; the rest is counted."""


def several(names: Iterable[object]) -> str:
    """Return the first few names, and count the rest."""
    texts = [str(name) for name in names]
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return ", ".join([*texts[:SHOWN], *more])
