"""Name the folders of scratch where the audit works, and their locks.

`variorum gc` removes such a folder if nobody holds its lock.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from variorum.base.errors import clear_about_storage
from variorum.base.progress import Progress
from variorum.identity.spec import Ref
from variorum.store.store import Store


@dataclass(frozen=True)
class Workplace:
    """Describe a folder that a command works in, with its lock."""

    folder: str
    lock: Ref
    command: str

    @contextmanager
    def held(self, store: Store, progress: Progress) -> Iterator[Path]:
        """Yield the folder, without content, for this process alone; remove it at the end."""
        folder, waiting = store.root / self.folder, "waits for another process"
        with clear_about_storage(), store.locked(self.lock, lambda: progress.say(waiting)):
            shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)


ADOPTIONS = Workplace("scratch/adopt", Ref("adopt", "all"), "adopt")
"""Where proofs are computed."""

RERUNS = Workplace("scratch/rerun", Ref("rerun", "all"), "verify --rerun")
"""Where results are made again."""

COMPARISONS = Workplace("scratch/compare", Ref("compare", "all"), "share")
"""Where the bytes that git holds lie while they are compared."""


def project_beside(root: Path, folder: Path) -> Store:
    """Make a project in `folder` that links to all at `root` except results."""
    folder.mkdir(parents=True)
    for path in root.iterdir():
        if path.name not in ("results", "scratch") and not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    return Store(folder)
