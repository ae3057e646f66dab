"""One token a character, and one a byte for characters that training did not see.

The ids: the characters of the training text by code point, the 256 bytes, `<|endoftext|>`. An
unknown character is written as the bytes of its UTF-8 (byte fallback, as in SentencePiece), so any
text can be encoded.

`train` takes texts and settings and gives a `CharacterTokenizer`; `from_document` makes one of the
content of its file.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any

from variorum.base.errors import VariorumError
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.tokenizer.base import Tokenizer, hugging_face_document, text_bytes

BYTES = 256


class CharacterTokenizer(Tokenizer):
    """A vocabulary of the given characters, in the given order. A surrogate is a ValueError."""

    def __init__(self, characters: str) -> None:
        values = (bytes([value]) for value in range(BYTES))
        super().__init__(chain((character.encode("utf-8") for character in characters), values))
        self.characters = characters
        self._encoded = _EncodedCharacters(characters)

    def encode(self, text: str) -> list[int]:
        """The token ids of `text`."""
        return list(chain.from_iterable(map(self._encoded.__getitem__, text)))

    def document(self) -> dict[str, Any]:
        """The content of `tokenizer.json`, for a BPE model that has no merges."""
        names = [*self.characters, *(f"<0x{value:02X}>" for value in range(BYTES))]
        return hugging_face_document(
            "characters",
            {name: i for i, name in enumerate(names)},
            [],
            byte_fallback=True,
            pre_tokenizer=None,
            decoder={"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        )


class _EncodedCharacters(dict[str, tuple[int, ...]]):
    """The ids of each character: its own, or those of its bytes."""

    def __init__(self, characters: str) -> None:
        super().__init__((character, (i,)) for i, character in enumerate(characters))

    def __missing__(self, character: str) -> tuple[int, ...]:
        first_byte = len(self)
        return tuple(first_byte + value for value in text_bytes(character))


def train(texts: Iterable[str], settings: TokenizerSettings) -> CharacterTokenizer:
    """The characters of `texts`. No setting matters: the vocabulary is as large as they make it.

    Lone surrogates stay out of it, as no file could hold them. No text is a VariorumError.
    """
    seen = set(chain.from_iterable(map(set, texts)))
    characters = "".join(sorted(c for c in seen if not "\ud800" <= c <= "\udfff"))
    if not characters:
        raise VariorumError("tokenizer: the text to learn characters from is empty; give some text")
    return CharacterTokenizer(characters)


def from_document(document: dict[str, Any]) -> CharacterTokenizer:
    """The tokenizer whose `document()` this is; other content gives any error, or another one."""
    return CharacterTokenizer("".join(n for n in document["model"]["vocab"] if len(n) == 1))
