"""Decode text from tokens that come one at a time, as while a model writes.

A token can end in the middle of a character. `TextStream` takes token ids and returns the text that
is certain so far; together, the pieces are what `decode` returns for all the ids at once.
"""

import codecs
from collections.abc import Sequence

from variorum.tokenizer.base import Tokenizer


class TextStream:
    """Decode incrementally: `feed` it ids, then `finish`; it can then be used again.

    `begun` are the bytes of a character that the text before has begun and the first id continues
    (see `unfinished`).
    """

    def __init__(self, tokenizer: Tokenizer, begun: bytes = b"") -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._decoder.decode(begun)

    def feed(self, token: int) -> str:
        """Return the characters that this token completes: none, one or more."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def finish(self) -> str:
        """Return the text held back: U+FFFD if the last character is incomplete."""
        return self._decoder.decode(b"", final=True)


def unfinished(tokenizer: Tokenizer, ids: Sequence[int]) -> bytes:
    """Return the bytes of an incomplete last character: none, up to three."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in ids:
        if token == tokenizer.eot:
            decoder.reset()  # another document begins
        else:
            decoder.decode(tokenizer.token_bytes(token))
    held = decoder.getstate()[0]
    # Python waits for the rest of a surrogate, which is no character
    return b"" if held.startswith(b"\xed") and held[1:] >= b"\xa0" else held
