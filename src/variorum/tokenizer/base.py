"""Define what every tokenizer can do, and the special token that all of them have.

A tokenizer turns text into token ids and ids into the bytes of the text. Nothing is ever lost:
`decode_bytes(encode(text))` is the text's UTF-8. Two rules hold for all kinds:

- `<|endoftext|>` (GPT-2's name) is the last id. It comes between documents; only the code that
  joins documents writes it. In a text those 13 characters are ordinary characters.
- A lone surrogate, which UTF-8 cannot express, is encoded as the three bytes that it would have
  (Python's `surrogatepass`), so `decode_bytes(ids).decode("utf-8", "surrogatepass")` gives back
  every Python string. `decode` shows U+FFFD in its place.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError

END_OF_TEXT = "<|endoftext|>"


def text_bytes(text: str) -> bytes:
    """Return the bytes of `text`: UTF-8, with lone surrogates passed through."""
    return text.encode("utf-8", "surrogatepass")


class Tokenizer(ABC):
    """Turn text to token ids and back. Immutable, as seen from outside.

    `spellings` are the bytes of every id but the last, which is `<|endoftext|>` and has none.
    """

    def __init__(self, spellings: Iterable[bytes]) -> None:
        self._bytes = dict(enumerate(spellings))
        self._bytes[len(self._bytes)] = b""

    @property
    def vocab_size(self) -> int:
        """Return the number of token ids, `<|endoftext|>` included."""
        return len(self._bytes)

    @property
    def eot(self) -> int:
        """Return the id of `<|endoftext|>`: the last."""
        return len(self._bytes) - 1

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text`; never `eot`."""

    @abstractmethod
    def document(self) -> dict[str, Any]:
        """Return the content of this tokenizer's `tokenizer.json`."""

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes of one token; none for `eot`.

        Raises `VariorumError` for an unknown id.
        """
        return self.decode_bytes([token])

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of the tokens, joined.

        Raises `VariorumError` for an unknown id.
        """
        try:
            return b"".join(map(self._bytes.__getitem__, ids))
        except KeyError as error:
            raise VariorumError(
                f"token id {error.args[0]} is not in this tokenizer's vocabulary; give whole "
                f"numbers from 0 to {self.eot}"
            ) from None

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of the tokens; bytes that are not valid UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def save(self, path: Path) -> None:
        """Write `tokenizer.json` for Hugging Face's `tokenizers`. Always the same bytes."""
        text = json.dumps(self.document(), ensure_ascii=False, indent=2)
        path.write_bytes(text.encode("utf-8") + b"\n")


class PretokenTokenizer(Tokenizer):
    """Encode a text as its pretokens, one by one: the pieces that `pretokens.split` gives."""

    @abstractmethod
    def encode_pretokens(self, pretokens: Sequence[bytes]) -> list[list[int]]:
        """Return the token ids of each of many pretokens, given by their bytes."""


def hugging_face_document(
    kind: str,
    vocabulary: Mapping[str, int],
    merges: list[str],
    *,
    byte_fallback: bool,
    pre_tokenizer: dict[str, Any] | None,
    decoder: dict[str, Any],
) -> dict[str, Any]:
    """Return a `tokenizer.json`: the given parts, and what all kinds have in common.

    `kind` goes inside `model`, the one place where the format accepts an entry of our own.
    """
    eot = len(vocabulary)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": eot,
                "content": END_OF_TEXT,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
        ],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": {
            "type": "BPE",
            "variorum_kind": kind,
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": byte_fallback,
            "ignore_merges": False,
            "vocab": {**vocabulary, END_OF_TEXT: eot},
            "merges": merges,
        },
    }
