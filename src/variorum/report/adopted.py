"""Describe a result that was adopted from an older one instead of made.

The description is shown wherever such a result is: on the page, in an ablation's table, in
`runs()`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MARK = "†"


@dataclass(frozen=True)
class Adoption:
    """Hold where a result's files come from, and why they can replace a new result.

    word: the reason that a person gave, where there is no proof.
    evidence: what was proved, in lines.
    """

    origin: str
    word: str | None = None
    evidence: tuple[str, ...] = ()

    @classmethod
    def of(cls, adopted: Mapping[str, Any] | None) -> "Adoption | None":
        """Read a manifest's `adopted`; None for a result that its own spec made."""
        if adopted is None:
            return None
        return cls(adopted["from"], adopted.get("because"), tuple(adopted["evidence"]))

    def __str__(self) -> str:
        if self.word is None:
            return f"adopted from {self.origin}, proved"
        return f"adopted from {self.origin} on someone's word: {self.word}"
