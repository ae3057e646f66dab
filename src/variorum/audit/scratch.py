"""Name the folders of scratch where the audit works, and their locks.

`variorum gc` removes such a folder if nobody holds its lock.
"""

from pathlib import Path

from variorum.identity.spec import Ref
from variorum.store.store import Store

ADOPTIONS = "scratch/adopt"
"""Where proofs are computed."""

ADOPTING = Ref("adopt", "all")
"""The lock of whoever adopts."""

RERUNS = "scratch/rerun"
"""Where results are made again."""

RERUNNING = Ref("rerun", "all")
"""The lock of whoever makes one again."""


def project_beside(root: Path, folder: Path) -> Store:
    """Make a project in `folder` that links to all at `root` except results."""
    folder.mkdir(parents=True)
    for path in root.iterdir():
        if path.name not in ("results", "scratch") and not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    return Store(folder)
