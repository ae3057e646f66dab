"""Define specs and keys: what a result is made from, and its name.

A key is the hash of a spec in canonical JSON, so equal specs name the same result everywhere.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1
"""Part of every key; raised when the definition of keys changes."""

KEY_LENGTH = 12


@dataclass(frozen=True, order=True)
class Ref:
    """Name a result: `pretrain/3fa9c1d2e4b5`."""

    stage: str
    key: str

    def __str__(self) -> str:
        return f"{self.stage}/{self.key}"

    @classmethod
    def parse(cls, text: str) -> "Ref":
        """Read `stage/key` as it is written in specs."""
        stage, _, key = text.partition("/")
        return cls(stage, key)


@dataclass(frozen=True)
class Spec:
    """Describe what one result is made from: settings, upstream results, code.

    libraries: versions by name, where an experiment asks for `strict_libraries`; else empty.
    """

    stage: str
    settings: Mapping[str, Any]
    upstream: Mapping[str, Ref]
    code: str
    libraries: Mapping[str, str] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """Return plain data, of which the key is the hash."""
        data = {
            "schema": SCHEMA,
            "stage": self.stage,
            "settings": dict(self.settings),
            "upstream": {name: str(ref) for name, ref in self.upstream.items()},
            "code": self.code,
        }
        return {**data, "libraries": dict(self.libraries)} if self.libraries else data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Spec":
        """Read a spec from what `as_data` returned."""
        upstream = {name: Ref.parse(ref) for name, ref in data["upstream"].items()}
        libraries = data.get("libraries", {})
        return cls(data["stage"], data["settings"], upstream, data["code"], libraries)

    @property
    def ref(self) -> Ref:
        """Return the name of the result that this spec makes."""
        digest = hashlib.sha256(canonical_json(self.as_data()).encode()).hexdigest()
        return Ref(self.stage, digest[:KEY_LENGTH])


def canonical_json(data: Any) -> str:
    """Return JSON that is equal for equal data: sorted names, no spaces, no NaN.

    Raises `TypeError` for anything that JSON does not hold by itself.
    """
    _refuse_foreign(data, "$")
    return json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _refuse_foreign(data: Any, place: str) -> None:
    if isinstance(data, dict):
        for name, value in data.items():
            if type(name) is not str:
                raise TypeError(f"{place}: the name {name!r} is {type(name).__name__}, not text")
            _refuse_foreign(value, f"{place}.{name}")
    elif isinstance(data, list):
        for index, value in enumerate(data):
            _refuse_foreign(value, f"{place}[{index}]")
    elif data is not None and type(data) not in (str, int, float, bool):
        raise TypeError(f"{place}: {type(data).__name__} has no canonical form")
