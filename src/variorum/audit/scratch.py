"""Where the audit works: folders of scratch, and the locks of those who work there.

`variorum gc` removes such a folder if nobody holds its lock.
"""

from variorum.store import Ref

ADOPTIONS = "scratch/adopt"
"""Where proofs are computed."""

ADOPTING = Ref("adopt", "all")
"""The lock of whoever adopts."""

RERUNS = "scratch/rerun"
"""Where results are made again."""

RERUNNING = Ref("rerun", "all")
"""The lock of whoever makes one again."""
