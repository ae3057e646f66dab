"""Text from tokens that come one at a time, as while a model writes.

A token can end in the middle of a character. `TextStream` takes token ids and gives the text that
is certain so far; together, the pieces are what `decode` gives for all the ids at once.
"""

import codecs

from variorum.tokenizer.base import Tokenizer


class TextStream:
    """An incremental decoder: `feed` it ids, then `finish`; it can then be used again."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token: int) -> str:
        """The characters that this token completes: none, one or more."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def finish(self) -> str:
        """What was held back: U+FFFD if the last character never came to its end."""
        return self._decoder.decode(b"", final=True)
