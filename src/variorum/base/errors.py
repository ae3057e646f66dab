"""The errors that people can mend: shown as one line, without a traceback."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_ALLOWED = (errno.EROFS, errno.EACCES, errno.EPERM)
OUT_OF_ORDER = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO)
IN_THE_WAY = (errno.EEXIST, errno.ENOTDIR, errno.ELOOP)
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)

GO_ON = "no result was touched. To go on, {} and run the same command again"


class VariorumError(Exception):
    """Something a user can put right. The message says what was found, where, and what to do."""


class Stopped(VariorumError):  # noqa: N818 - no mistake was made
    """Work that ended early, as it was asked to, and can be gone on with."""


@contextmanager
def clear_about_storage() -> Iterator[None]:
    """Raise `VariorumError` for what a disk refuses while the block runs: place, reason, remedy."""
    try:
        yield
    except shutil.Error as error:  # of a copied folder; it holds the reasons as text
        _, place, reason = error.args[0][0]
        line = f"{place}: could not be written ({reason}); {GO_ON.format('put that right')}"
        raise VariorumError(line) from error
    except OSError as error:
        where = error.filename2 or error.filename or "the project's folder"  # what is renamed to
        if error.errno in NO_SPACE:
            what, remedy = "no space is left on the disk (or a quota is used up)", "make room"
        elif error.errno in NOT_ALLOWED:
            what, remedy = f"not allowed here ({error.strerror})", "set the permissions right"
        elif error.errno in OUT_OF_ORDER:
            what, remedy = f"the disk does not work ({error.strerror})", "see to the disk"
        elif error.errno in IN_THE_WAY:
            what = f"a file or a broken link is in the way ({error.strerror})"
            remedy = "move it away"
        elif error.errno in NO_LOCKS:
            what = f"this disk has no locks for files ({error.strerror})"
            remedy = "move the project to one that has"
        else:
            raise
        raise VariorumError(f"{os.fspath(where)}: {what}; {GO_ON.format(remedy)}") from error


SHOWN = 5
"""How many names a list shows before it only counts."""


def several(names: Iterable[object]) -> str:
    """Return the first few names, and count the rest."""
    texts = [str(name) for name in names]
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return ", ".join([*texts[:SHOWN], *more])
