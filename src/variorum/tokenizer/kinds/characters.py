"""Encode one token a character, and one a byte for characters unseen in training.

The ids: the characters of the training text by code point, the 256 bytes, `<|endoftext|>`. An
unknown character is written as the bytes of its UTF-8 (byte fallback, as in SentencePiece), so any
text can be encoded.

`train` takes texts and settings and returns a `CharacterTokenizer`. It has two steps: `count` takes
texts and returns counts, which add up, and `learn` takes counts. `from_document` makes a tokenizer
from the content of its file.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from variorum.base.errors import VariorumError
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.tokenizer.base import Tokenizer, hugging_face_document, text_bytes

BYTES = 256


class CharacterTokenizer(Tokenizer):
    """Encode by a vocabulary of the given characters, in the given order.

    Raises `ValueError` for a surrogate.
    """

    def __init__(self, characters: str) -> None:
        values = (bytes([value]) for value in range(BYTES))
        super().__init__(chain((character.encode("utf-8") for character in characters), values))
        self.characters = characters
        self._encoded = _EncodedCharacters(characters)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text`."""
        return list(chain.from_iterable(map(self._encoded.__getitem__, text)))

    def document(self) -> dict[str, Any]:
        """Return the content of `tokenizer.json`, for a BPE model that has no merges."""
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
    """Map each character to its ids: its own, or one for each of its bytes."""

    def __init__(self, characters: str) -> None:
        super().__init__((character, (i,)) for i, character in enumerate(characters))

    def __missing__(self, character: str) -> tuple[int, ...]:
        first_byte = len(self)
        return tuple(first_byte + value for value in text_bytes(character))


def train(texts: Iterable[str], settings: TokenizerSettings) -> CharacterTokenizer:
    """Learn the characters of `texts`; see `learn`."""
    return learn(count(texts), settings)


def count(texts: Iterable[str]) -> dict[str, int]:
    """Return how many of some texts each character occurs in."""
    return dict(Counter(chain.from_iterable(map(set, texts))))


def learn(counts: Mapping[str, int], settings: TokenizerSettings) -> CharacterTokenizer:
    """Learn the characters that occur; the vocabulary is as large as they make it.

    No setting matters. Lone surrogates stay out, as no file could hold them. Raises `VariorumError`
    if there is no text.
    """
    characters = "".join(sorted(c for c in counts if not "\ud800" <= c <= "\udfff"))
    if not characters:
        raise VariorumError("tokenizer: the text to learn characters from is empty; give some text")
    return CharacterTokenizer(characters)


def from_document(document: dict[str, Any]) -> CharacterTokenizer:
    """Return the tokenizer whose `document()` this is.

    Other content raises any error, or gives another tokenizer.
    """
    return CharacterTokenizer("".join(n for n in document["model"]["vocab"] if len(n) == 1))
