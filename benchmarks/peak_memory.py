"""The peak of a process's memory, for benchmarks and tests. Linux tells it."""

import re
from pathlib import Path


def peak_memory() -> int:
    """The most memory that this process held at once so far, in bytes.

    `resource.getrusage` would begin with the memory of the process that began this one, in which
    all that a small process takes can hide.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [kib] = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return 1024 * int(kib)
