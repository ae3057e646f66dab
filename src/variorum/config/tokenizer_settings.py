"""Define the settings of the tokenizer."""

from typing import Any, Literal, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from variorum.config.types import Settings, Text, Whole, setting

BYTES = 256
SPECIAL_TOKENS = 1  # <|endoftext|>, as in GPT-2


class TokenizerSettings(Settings):
    """Describe how text becomes tokens."""

    kind: Text = setting("bpe", "The tokenizer.", component="tokenizer/kinds")
    vocab_size: Whole | None = setting(
        1024, "Size of the vocabulary (bpe; characters take what the text has).", unit="tokens"
    )
    train_on: Literal["base", "both"] = setting("base", "The corpora whose train part it sees.")

    @model_validator(mode="before")
    @classmethod
    def _characters_take_what_there_is(cls, data: Any) -> Any:
        """Drop a size that decides nothing, so that it enters no key."""
        if isinstance(data, dict) and data.get("kind") == "characters":
            return {**data, "vocab_size": None}
        return data

    @model_validator(mode="after")
    def _holds_every_byte(self) -> Self:
        least = BYTES + SPECIAL_TOKENS
        if self.kind == "bpe" and (self.vocab_size is None or self.vocab_size < least):
            raise PydanticCustomError(
                "vocab_size",
                "vocab_size: {found} cannot hold the {bytes} bytes and {special} special token; "
                "give at least {least}",
                {
                    "found": str(self.vocab_size),
                    "bytes": BYTES,
                    "special": SPECIAL_TOKENS,
                    "least": least,
                },
            )
        return self
