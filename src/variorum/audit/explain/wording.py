"""Format values and names for people."""

import json
from typing import Any

from variorum.base.errors import several

WIDEST = 80
"""How many characters of a value are shown."""


class _NotSet:
    def __repr__(self) -> str:
        return "not set"


NOT_SET = _NotSet()
"""In place of a value: there is no such setting."""


def change(old: Any, new: Any) -> str:
    """Describe how a setting's value changed; of lists, which items came and went."""
    if not (isinstance(old, (list, tuple)) and isinstance(new, (list, tuple))):
        return f"{value_text(old)} -> {value_text(new)}"
    parts = []
    for word, these, others in (("without", old, new), ("with", new, old)):
        if items := [value_text(item) for item in these if item not in others]:
            parts.append(f"{word} {several(items)}")
    return ", ".join(parts) or "in another order"


def value_text(value: Any) -> str:
    """Return a setting's value in part of a line."""
    if value is NOT_SET:
        return "(not set)"
    if isinstance(value, dict):
        return "/".join(map(str, value.values()))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split()) or "''"
    return text if len(text) <= WIDEST else f"{text[:WIDEST]}…"
