"""Read what Snakemake uses: marks of unfinished jobs, and times of files.

It would run a result again that was published just before it could note so.
"""

import os
import time
from base64 import urlsafe_b64decode
from contextlib import suppress
from pathlib import Path

from variorum.identity.spec import Ref
from variorum.store.result import MANIFEST, StoreError
from variorum.store.store import Store


def marked(store: Store, folder: Path) -> dict[Path, Ref | None]:
    """Return each mark in Snakemake's own folder, with its result if that is complete."""
    place = folder / "incomplete"
    files = [path for path in place.rglob("*") if path.is_file()]
    return {mark: _complete(store, mark.relative_to(place)) for mark in files}


def _complete(store: Store, mark: Path) -> Ref | None:
    """Return the finished result whose manifest is encoded in the name of a mark."""
    encoded = "".join(part.removeprefix("@") for part in mark.parts)
    try:
        output = Path(urlsafe_b64decode(encoded).decode())
    except ValueError:
        return None
    if output.name != MANIFEST or len(output.parts) != 4:
        return None
    ref = Ref(*output.parts[1:3])
    with suppress(StoreError):  # a damaged result is named when somebody needs it
        return ref if store.exists(ref) else None
    return None


def not_after_now(path: Path) -> None:
    """Take a file's time back to a second ago if it is later than that."""
    moment = time.time() - 1
    with suppress(FileNotFoundError):
        if path.stat().st_mtime > moment:
            os.utime(path, (moment, moment))
