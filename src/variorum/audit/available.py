"""List the results that are available, and follow their inputs."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from variorum.identity.spec import KEY_LENGTH, Ref
from variorum.stages.registry import place_of
from variorum.store.store import Store

KEY = re.compile(f"[0-9a-f]{{{KEY_LENGTH}}}")

T = TypeVar("T")


Upstream = Callable[[T], Collection[T] | None]
"""Returns what something was made from; None if that is unknown."""


def available(store: Store, stage: str | None = None) -> Iterator[Ref]:
    """Yield every result, and every other folder in a result's place with content."""
    for folder in sorted(store.root.glob(f"results/{stage or '*'}/*")):
        if KEY.fullmatch(folder.name) and has_content(folder):
            yield Ref(folder.parent.name, folder.name)


def has_content(folder: Path) -> bool:
    """Check for content: Snakemake makes an empty folder before a stage."""
    return folder.is_dir() and any(folder.iterdir())


def order(ref: Ref) -> tuple[int, Ref]:
    """Return the sort key of the flow's order; unknown stages come last."""
    return place_of(ref.stage), ref


def closure(made: Iterable[T], upstream: Upstream[T]) -> frozenset[T]:
    """Return these and everything that they were made from."""
    found: set[T] = set()
    waiting = list(made)
    while waiting:
        if (each := waiting.pop()) not in found:
            found.add(each)
            waiting += upstream(each) or ()
    return frozenset(found)
