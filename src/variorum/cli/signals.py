"""How commands end on Ctrl-C and SIGTERM."""

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
"""Exit status of what was asked to stop, as shells give it."""

STOPPING = (signal.SIGINT, signal.SIGTERM)

SECONDS_TO_CLEAR = 10
"""How long a command may take to clear away what it began, once it is asked to stop."""

STOPPED = "stopped; nothing was lost, and the same command goes on"


def leave_at_once_on_signals(log: Path | None, signals: Iterable[int] = STOPPING) -> None:
    """End on Ctrl-C and SIGTERM with one line; a training has a gentler way while it takes steps.

    A stage may be killed anywhere, so no exception has to make its way out of foreign code, some
    of which takes it for an error of its own.
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
    """Raise `KeyboardInterrupt` on Ctrl-C and SIGTERM; end soon, should it come to nothing.

    For what has processes and folders of its own to clear away.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in STOPPING:
            signal.signal(each, signal.SIG_IGN)
        leave_at_once_on_signals(None, [signal.SIGALRM])
        signal.alarm(SECONDS_TO_CLEAR)
        raise KeyboardInterrupt

    for number in STOPPING:
        signal.signal(number, interrupt)
