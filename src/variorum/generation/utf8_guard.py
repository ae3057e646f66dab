"""Find the tokens that keep a text valid UTF-8, by an automaton over bytes.

A byte-level vocabulary can spell invalid text. The automaton is table 3-7 of the Unicode
standard (chapter 3): no overlong forms, no surrogates, nothing above U+10FFFF. Its state says what
may follow the bytes so far. For every state and token it is computed once where the token leads,
and how many tokens the character that is then begun still takes. So one comparison finds the
tokens that may be drawn when only so many are left: none begins a character that could not be
finished. `<|endoftext|>` has no bytes, and occurs only between whole characters.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from variorum.base.errors import VariorumError
from variorum.tokenizer.base import Tokenizer

Bytes = npt.NDArray[np.uint8]

START, LAST, LAST_TWO, LAST_THREE, AFTER_E0, AFTER_ED, AFTER_F0, AFTER_F4, INVALID = range(9)
"""States. `LAST`: any one continuation byte ends the character; `LAST_TWO`: any two do."""

TABLE_3_7 = (
    (START, 0x00, 0x7F, START),
    (START, 0xC2, 0xDF, LAST),
    (START, 0xE0, 0xE0, AFTER_E0),
    (START, 0xE1, 0xEC, LAST_TWO),
    (START, 0xED, 0xED, AFTER_ED),
    (START, 0xEE, 0xEF, LAST_TWO),
    (START, 0xF0, 0xF0, AFTER_F0),
    (START, 0xF1, 0xF3, LAST_THREE),
    (START, 0xF4, 0xF4, AFTER_F4),
    (AFTER_E0, 0xA0, 0xBF, LAST),  # less would be an overlong form
    (AFTER_ED, 0x80, 0x9F, LAST),  # more would be a surrogate
    (AFTER_F0, 0x90, 0xBF, LAST_TWO),  # less would be an overlong form
    (AFTER_F4, 0x80, 0x8F, LAST_TWO),  # more would be above U+10FFFF
    (LAST_THREE, 0x80, 0xBF, LAST_TWO),
    (LAST_TWO, 0x80, 0xBF, LAST),
    (LAST, 0x80, 0xBF, START),
)
"""State, first and last of the bytes that it takes, next state. All else leads to `INVALID`."""

NEVER = 255  # tokens: no number of them makes this text valid


class Utf8Guard:
    """Hold the automaton of one tokenizer; a state is a number below 8.

    `START` is the state between characters. `after` (9, V) is the state behind each token; `cost`
    (9, V) the tokens that then remain to be written until the character is whole, or `NEVER`.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._step = _byte_table()
        after = _token_table(self._step, tokenizer)
        after[START + 1 :, tokenizer.eot] = INVALID
        needed = _tokens_needed(after)
        self.after = after
        self.cost = needed[after]
        self._needed = [int(n) for n in needed]

    def state_of(self, unfinished: bytes) -> int:
        """Return the state behind these bytes, with which a character begins."""
        state = START
        for byte in unfinished:
            state = int(self._step[state, byte])
        return state

    def allowed(self, state: int, left: int) -> npt.NDArray[np.bool_]:
        """Return which tokens (V,) may come in `state`, with `left` still to be written.

        `left` includes the next token.
        """
        mask: npt.NDArray[np.bool_] = self.cost[state] <= min(left - 1, NEVER - 1)
        return mask

    def next_state(self, state: int, token: int) -> int:
        """Return the state behind a token."""
        return int(self.after[state, token])

    def check_end(self, state: int, max_tokens: int) -> None:
        """Raise `VariorumError` if the begun character cannot be finished in so many tokens."""
        needed = self._needed[state]
        if needed > max_tokens:
            raise VariorumError(
                f"max_tokens: {max_tokens}: the prompt ends inside a character, and {needed} more "
                "tokens finish it; give at least as many, or a prompt of whole characters"
            )


@lru_cache(maxsize=4)
def guard_of(tokenizer: Tokenizer) -> Utf8Guard:
    """Return the guard of a tokenizer, made at its first use."""
    return Utf8Guard(tokenizer)


def _byte_table() -> Bytes:
    """Return the next state (9, 256) of each state and byte."""
    table = np.full((INVALID + 1, 256), INVALID, dtype=np.uint8)
    for state, first, last, following in TABLE_3_7:
        table[state, first : last + 1] = following
    return table


def _token_table(step: Bytes, tokenizer: Tokenizer) -> Bytes:
    """Return the next state (9, V) of each state and token.

    All tokens take one byte at a time.
    """
    spellings = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
    lengths = np.array([len(spelling) for spelling in spellings])
    starts = lengths.cumsum() - lengths  # where each token begins in `joined`
    joined = np.frombuffer(b"".join(spellings), dtype=np.uint8)
    after = np.repeat(np.arange(len(step), dtype=np.uint8)[:, None], len(spellings), axis=1)
    longest_first = np.argsort(-lengths, kind="stable")
    for place in range(int(lengths.max(initial=0))):
        tokens = longest_first[: int((lengths > place).sum())]
        after[:, tokens] = step[after[:, tokens], joined[starts[tokens] + place]]
    return after


def _tokens_needed(after: Bytes) -> Bytes:
    """Return the fewest tokens (9,) that lead from each state to `START`."""
    needed = np.full(len(after), NEVER, dtype=np.uint8)
    needed[START] = 0
    for _ in range(len(after)):  # no shortest way is longer than there are states
        best = needed[after].min(axis=1)  # (9,)
        needed = np.minimum(needed, np.where(best < NEVER, best + 1, NEVER)).astype(np.uint8)
    return needed
