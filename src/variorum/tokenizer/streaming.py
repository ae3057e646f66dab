"""Text from tokens that come one at a time, as while a model writes.

A token can end in the middle of a character. `TextStream` takes token ids and gives the text that
is certain so far; together, the pieces are what `decode` gives for all the ids at once.
"""

import codecs
from collections.abc import Sequence

from variorum.tokenizer.base import Tokenizer


class TextStream:
    """An incremental decoder: `feed` it ids, then `finish`; it can then be used again.

    `begun` are bytes of a character that what stands before has begun and the first id goes on
    with (see `unfinished`).
    """

    def __init__(self, tokenizer: Tokenizer, begun: bytes = b"") -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._decoder.decode(begun)

    def feed(self, token: int) -> str:
        """The characters that this token completes: none, one or more."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def finish(self) -> str:
        """What was held back: U+FFFD if the last character never came to its end."""
        return self._decoder.decode(b"", final=True)


def unfinished(tokenizer: Tokenizer, ids: Sequence[int]) -> bytes:
    """The bytes of a last character that these tokens begin and do not end: none, up to three."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in ids:
        if token == tokenizer.eot:
            decoder.reset()  # another document begins
        else:
            decoder.decode(tokenizer.token_bytes(token))
    held = decoder.getstate()[0]
    # Python waits for the rest of a surrogate, which is no character
    return b"" if held.startswith(b"\xed") and held[1:] >= b"\xa0" else held
