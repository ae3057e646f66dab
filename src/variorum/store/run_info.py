"""Check `run.json` and `code.json`, which no manifest lists.

`run.json` carries a seal over both, and the definitions in `code.json` must have the fingerprint
in the key.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from variorum.identity.recorded_code import recorded_digest
from variorum.store.manifests import Manifest, ResultCopy
from variorum.store.result import CODE, MADE, RUN, SEAL, readable_json, sealed


@dataclass(frozen=True)
class RunInfo:
    """Hold how a result was made, as far as the record is sound.

    run: content of `run.json`; None if it is missing, damaged, or of other bytes of the same key.
    faults: what is wrong, by file. is_sealed: False for a `run.json` from before there were seals.
    """

    run: Mapping[str, Any] | None
    faults: Mapping[str, str]
    is_sealed: bool

    @property
    def names_manifest(self) -> bool:
        """Check whether it says which manifest it is of, and that is the one here."""
        return self.run is not None and MADE in self.run


def run_info(copy: ResultCopy, manifest: Manifest) -> RunInfo:
    """Check `run.json` and `code.json` of a result with this manifest."""
    faults: dict[str, str] = {}
    run, sources = (_data(copy, name, faults) for name in (RUN, CODE))
    is_sealed = True
    if run is not None:
        seal = run.get(SEAL)
        if seal is None and not any(isinstance(v, dict) and RUN in v for v in run.values()):
            is_sealed = False
        elif not isinstance(seal, dict) or run != sealed(run, seal.get(CODE, "")):
            faults[RUN], run = "is not what its seal says", None
        elif CODE not in copy.files:
            faults[CODE] = "is missing"
        elif copy.files[CODE].sha256 != seal[CODE]:
            faults.setdefault(CODE, f"is not what the seal in {RUN} says")
    right = (None, manifest.spec.code)
    if sources is not None and _fingerprint((copy.folder / CODE).read_bytes()) not in right:
        faults.setdefault(CODE, "holds other code than its key")
    if run is not None and MADE in run and run[MADE] not in manifest.noted_as:
        run = None
    return RunInfo(run, faults, is_sealed)


def _data(copy: ResultCopy, name: str, faults: dict[str, str]) -> dict[str, Any] | None:
    """Read one of the files; None, with a fault noted, if it is damaged."""
    if name not in copy.files:
        return None
    fault = copy.files[name].fault
    if not fault:
        content = (copy.folder / name).read_bytes()
        try:
            data = json.loads(content)
            if isinstance(data, dict) and readable_json(data).encode() == content:
                return data
            fault = "is not written as results write it"
        except ValueError:
            fault = "is cut off or not JSON"
    faults[name] = fault
    return None


@cache
def _fingerprint(code: bytes) -> str | None:
    """Return the fingerprint of a `code.json`; None for older, incomplete ones."""
    sources = json.loads(code)
    try:
        return recorded_digest(sources)
    except (SyntaxError, ValueError, TypeError, AttributeError):
        return ""
