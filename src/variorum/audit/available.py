"""List the results that are available, and follow their inputs."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from variorum.identity.spec import KEY_LENGTH, Ref
from variorum.stages.registry import place_of
from variorum.store.store import Store

KEY = re.compile(f"[0-9a-f]{{{KEY_LENGTH}}}")

Upstream = Callable[[Ref], Collection[Ref] | None]
"""Returns a result's inputs; None if they are unknown."""


def available(store: Store, stage: str | None = None) -> Iterator[Ref]:
    """Yield every result, and every other folder in a result's place with content."""
    for folder in sorted(store.root.glob(f"results/{stage or '*'}/*")):
        if KEY.fullmatch(folder.name) and has_content(folder):
            yield Ref(folder.parent.name, folder.name)


def pinned(store: Store, stage: str | None = None) -> Iterator[Ref]:
    """Yield every result whose `.dvc` file is here."""
    for file in store.root.glob(f"results/{stage or '*'}/*.dvc"):
        if KEY.fullmatch(file.stem):
            yield Ref(file.parent.name, file.stem)


def has_content(folder: Path) -> bool:
    """Check for content: Snakemake makes an empty folder before a stage."""
    return folder.is_dir() and any(folder.iterdir())


def order(ref: Ref) -> tuple[int, Ref]:
    """Return the sort key of the flow's order; unknown stages come last."""
    return place_of(ref.stage), ref


def closure(made: Iterable[Ref], upstream: Upstream) -> frozenset[Ref]:
    """Return these and everything that they were made from."""
    found: set[Ref] = set()
    waiting = list(made)
    while waiting:
        if (each := waiting.pop()) not in found:
            found.add(each)
            waiting += upstream(each) or ()
    return frozenset(found)
