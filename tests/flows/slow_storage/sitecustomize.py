"""Python loads this by itself where its folder is on PYTHONPATH: the project's code, slowed down.

The environment variable SLOW_STORAGE holds three things with colons between. The first names the
call that takes its time, `checkpoint` (a training syncs the state that it resumes from) or
`publication` (a finished result is moved into place). The second is how many seconds it takes, and
the third, which may be empty, a file whose appearance ends the wait.
"""

import os
import time
from pathlib import Path
from typing import Any

_moment, _seconds, _until = os.environ["SLOW_STORAGE"].split(":", 2)
_fsync, _rename = os.fsync, os.rename


def _wait() -> None:
    end = time.monotonic() + float(_seconds)
    while time.monotonic() < end and not (_until and Path(_until).exists()):
        time.sleep(0.01)


def _slow_fsync(descriptor: int) -> None:
    if "/state.safetensors." in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
        _wait()
    _fsync(descriptor)


def _slow_rename(source: Any, target: Any, **options: Any) -> None:
    if "/results/" in str(target):
        _wait()
    _rename(source, target, **options)


if _moment == "checkpoint":
    os.fsync = _slow_fsync
elif _moment == "publication":
    os.rename = _slow_rename
