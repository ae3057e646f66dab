"""Define how commands end on Ctrl-C and SIGTERM."""

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from variorum.base.errors import INTERRUPTED

STOPPING = (signal.SIGINT, signal.SIGTERM)

SECONDS_TO_CLEAR = 10
"""Time that a stopped command has to clear away what it began."""

STOPPED = "stopped; nothing was lost, and the same command continues"


def leave_at_once_on_signals(log: Path | None, signals: Iterable[int] = STOPPING) -> None:
    """End on Ctrl-C and SIGTERM with one line.

    A training ends more gently while it takes steps. A stage may be killed anywhere, so no
    exception has to pass through foreign code, which may take it for its own error.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        os.write(sys.stderr.fileno(), f"variorum: {STOPPED}\n".encode())
        if log is not None and log.is_file():
            with suppress(OSError), log.open("a", encoding="utf-8") as file:
                file.write(f"{STOPPED}\n")
        os._exit(INTERRUPTED)

    for number in signals:
        signal.signal(number, leave)


def interrupt_on_signals() -> None:
    """Raise `KeyboardInterrupt` on Ctrl-C and SIGTERM, and end soon in any case.

    For commands that have processes and folders to clear away.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in STOPPING:
            signal.signal(each, signal.SIG_IGN)
        leave_at_once_on_signals(None, [signal.SIGALRM])
        signal.alarm(SECONDS_TO_CLEAR)
        raise KeyboardInterrupt

    for number in STOPPING:
        signal.signal(number, interrupt)
