"""What is said of a result that was not made under its key but adopted from an older one.

It is said wherever such a result is shown: on the page, in an ablation's table, in `runs()`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MARK = "†"


@dataclass(frozen=True)
class Adoption:
    """Where a result's files come from, and why they can stand for what its spec would make.

    word: the reason that a person gave, where there is no proof.
    evidence: what was proved, in lines.
    """

    origin: str
    word: str | None = None
    evidence: tuple[str, ...] = ()

    @classmethod
    def of(cls, adopted: Mapping[str, Any] | None) -> "Adoption | None":
        """What a manifest tells under `adopted`; None for a result that was made by its spec."""
        if adopted is None:
            return None
        return cls(adopted["from"], adopted.get("because"), tuple(adopted["evidence"]))

    def __str__(self) -> str:
        if self.word is None:
            return f"adopted from {self.origin}, proved"
        return f"adopted from {self.origin} on someone's word: {self.word}"
