"""Collect the kinds of sources: the files of `corpus/sources/`."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from variorum.base import components
from variorum.base.errors import VariorumError
from variorum.config.canonical import restored
from variorum.corpus.source import SOURCES, SourceSettings

KINDS: dict[str, type[SourceSettings]] = {
    option.replace("_", "-"): defined
    for option, defined in components.classes(
        SOURCES,
        SourceSettings,  # type: ignore[type-abstract]  # it is compared with, never made
    ).items()
}
"""The settings of each kind, by its name."""

if TYPE_CHECKING:
    Source = SourceSettings
else:
    Source = Annotated[reduce(or_, KINDS.values()), Field(discriminator="kind")]
"""A source of any kind, told apart by `kind`."""


def source_of(settings: Mapping[str, Any]) -> SourceSettings:
    """Return the source whose canonical settings these are.

    Raises `VariorumError` if its kind is unknown.
    """
    kind = settings.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise VariorumError(
            f"source.kind: '{kind}' is none of {', '.join(KINDS)}; use the code that knows it"
        )
    return restored(KINDS[kind], dict(settings))
