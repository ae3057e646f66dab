"""Judge results that were made from other bytes of an input than are here.

That is right if the two were made on two platforms, of which witnesses tell (`store.witnesses`).
"""

from collections.abc import Mapping
from typing import Any

from variorum.store.manifests import Manifest, ResultCopy
from variorum.store.run_info import run_info
from variorum.store.witnesses import Witnesses

Run = Mapping[str, Any]


def runs_of_both(
    witnesses: Witnesses, copy: ResultCopy, manifest: Manifest, upstream: ResultCopy, digest: str
) -> tuple[Run, Run] | None:
    """Return the runs that made the noted bytes and the ones here.

    One is empty if only git names the bytes, so that nothing tells where they were made. None
    without a witness of both, or if the bytes here are damaged. The witness of the noted ones may
    be that of `copy`, which was made from them on one machine.

    Args:
        witnesses: the project's.
        copy: the result that was made from the input, with its manifest.
        manifest: it notes the input by `digest`.
        upstream: the input as it is here.
        digest: hash of the input's manifest.
    """
    here = next((each for each in upstream.readable if not each.fault), None)
    if here is None or list(upstream.faults(here)):
        return None
    ours = _run_of(witnesses, upstream, here)
    theirs = witnesses.run_of(upstream.ref, [digest]) or _run_of(witnesses, copy, manifest)
    return None if ours is None or theirs is None else (theirs, ours)


def _run_of(witnesses: Witnesses, copy: ResultCopy, manifest: Manifest) -> Run | None:
    """Return what a witness tells of the run that made these bytes.

    Empty if only git names them, None without a witness.
    """
    if found := witnesses.run_of(copy.ref, manifest.noted_as):
        return found
    info = run_info(copy, manifest)
    if info.names_manifest:
        return info.run
    return {} if witnesses.is_listed(copy.folder / manifest.name) else None
