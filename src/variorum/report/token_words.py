"""Describe a tokenizer for the page: how it builds one word and splits others.

Takes a tokenizer and the counted words of a text, returns plain data for `words.json`. Common and
rare words are split. Pieces are written as everywhere: `␣the`.
"""

from collections.abc import Mapping
from typing import Any

from variorum.evaluation.printable import token_label
from variorum.tokenizer.base import Tokenizer, text_bytes
from variorum.tokenizer.derivation import by_frequency, derive, telling_word
from variorum.tokenizer.kinds.bpe import BytePairTokenizer

LONGEST = 12


def words(tokenizer: Tokenizer, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return the longest tokens, words at some ranks, and the derivation of one word.

    Ranks are of frequency. `derivation` is None where words are not built by merges.
    """
    ordered = by_frequency(counts)
    spelled = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
    longest = sorted(spelled, key=lambda spelling: (-len(spelling), spelling))[:LONGEST]
    return {
        "distinct": len(ordered),
        "longest": [token_label(spelling) for spelling in longest],
        "splits": [
            _split(tokenizer, ordered[rank - 1], rank, counts) for rank in _ranks(len(ordered))
        ],
        "derivation": _derivation(tokenizer, ordered, counts),
    }


def _ranks(n_words: int) -> list[int]:
    """Return 1, 3, 10, 30, 100 and so on."""
    powers = [10**power for power in range(len(str(n_words)))]
    return [rank for power in powers for rank in (power, 3 * power) if rank <= n_words]


def _split(tokenizer: Tokenizer, word: str, rank: int, counts: Mapping[str, int]) -> dict[str, Any]:
    pieces = [tokenizer.token_bytes(token) for token in tokenizer.encode(word)]
    return {
        "rank": rank,
        "word": token_label(text_bytes(word)),
        "count": counts[word],
        "bytes": len(text_bytes(word)),
        "tokens": len(pieces),
        "pieces": [token_label(piece) for piece in pieces],
    }


def _derivation(
    tokenizer: Tokenizer, ordered: list[str], counts: Mapping[str, int]
) -> dict[str, Any] | None:
    if not isinstance(tokenizer, BytePairTokenizer):
        return None
    word = telling_word(tokenizer.merges, ordered)
    if word is None:
        return None
    return {
        "word": token_label(text_bytes(word)),
        "rank": ordered.index(word) + 1,
        "count": counts[word],
        "bytes": [token_label(bytes([byte])) for byte in text_bytes(word)],
        "merges": [
            {
                "number": step.rank + 1,
                "joined": [token_label(piece) for piece in step.joined],
                "pieces": [token_label(piece) for piece in step.pieces],
            }
            for step in derive(tokenizer.merges, word)
        ],
    }
