"""Write lists in sentences."""

from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """Return all names in a row, such as `one, two and three`."""
    *others, last = names
    return " and ".join(filter(None, (", ".join(others), last)))
