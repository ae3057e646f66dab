"""Define the settings of the last test: texts that nothing is chosen by."""

from typing import Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from variorum.config.types import Settings, Text, setting
from variorum.corpus.source_kinds import Source


class LastTest(Settings):
    """Name the texts of the last test, and the experiment that is scored on them."""

    experiment: Text = setting(..., "Whose models are scored, and whose text the baselines read.")
    texts: tuple[Source, ...] = setting(..., "The texts, each pinned by its hash.", min_length=1)

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        """Refuse a text that may change after it was named, or is named twice."""
        titles = [text.title for text in self.texts]
        for text in self.texts:
            if getattr(text, "sha256", "") is None:
                raise PydanticCustomError(
                    "sha256",
                    "texts: {title} has no sha256, so it may change after it was named; give it",
                    {"title": text.title},
                )
        if len(set(titles)) < len(titles):
            raise PydanticCustomError("texts", "texts: one is named twice; name it once")
        return self
