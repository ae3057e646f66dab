"""What tests of `ls` and `gc` ask of a project, and locks that another process holds."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from variorum.audit.available import available
from variorum.audit.gc import removal
from variorum.identity.spec import Ref
from variorum.plan.experiment import Plan
from variorum.store.store import Store


def going(plan: removal.Removal) -> set[Ref]:
    return {row.ref for row in plan.results}


def left(plan: removal.Removal) -> dict[Ref, str]:
    return {row.ref: reason for row, reason in plan.left}


def note(plan: removal.Removal) -> str:
    """What is said beside the tables."""
    return "\n".join(plan.notes)


def only(plan: Plan, other: Plan) -> set[Ref]:
    """What one plan has and the other one has not."""
    return set(plan.nodes) - set(other.nodes)


def there(root: Path) -> set[Ref]:
    """Everything that is complete; raises if anything is in parts."""
    found = set(available(Store(root)))
    assert all(Store(root).exists(ref) for ref in found)
    return found


def leftovers(plan: removal.Removal) -> set[str]:
    """Where the dead folders lie that would go."""
    return {part.path.as_posix() for part in plan.leftovers}


# What processes are doing

HOLD = """
import fcntl, sys
with open(sys.argv[1], "a") as file:
    fcntl.flock(file, fcntl.LOCK_SH if sys.argv[2] == "shared" else fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(lock: Path, how: str = "alone") -> Iterator[None]:
    """Another process holds a lock."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLD, str(lock), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.communicate()


def lock_of(root: Path, ref: Ref) -> Path:
    return root / f"scratch/locks/{ref.stage}-{ref.key}"
