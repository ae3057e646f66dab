"""Derive how byte-pair encoding builds a word, merge by merge.

Takes learned merges and counted words; also finds which words stay in pieces. A word here is a
pretoken of letters with the space before it, if there is one, since merges are learned from these.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from variorum.corpus.unicode14 import LETTERS
from variorum.tokenizer.base import text_bytes
from variorum.tokenizer.kinds.bpe import BYTE_OF_ID, ID_OF_BYTE
from variorum.tokenizer.merges import BYTES, Pair, spellings
from variorum.tokenizer.pretokens import split_by_chunks

LEAST_MERGES = 6
"""Of the word whose derivation is shown: fewer show little."""


@dataclass(frozen=True)
class Merge:
    """Hold one step: a merge's rank, the two pieces it joins, all pieces then.

    Ranks count from 0. Pieces are bytes of the text.
    """

    rank: int
    joined: tuple[bytes, bytes]
    pieces: tuple[bytes, ...]


def count_words(texts: Iterable[str]) -> Counter[str]:
    """Count each word in some texts."""
    pretokens = Counter[str]()
    for text in texts:
        for pieces in split_by_chunks(text):
            pretokens.update(pieces)
    word = re.compile(f" ?[{LETTERS}]+")
    return Counter({piece: n for piece, n in pretokens.items() if word.fullmatch(piece)})


def by_frequency(counts: Mapping[str, int]) -> list[str]:
    """Sort words from the commonest to the rarest; equally common ones by their letters."""
    return sorted(counts, key=lambda word: (-counts[word], word))


def derive(merges: Sequence[Pair], word: str) -> list[Merge]:
    """Return every merge that turns a word's bytes into its tokens, in order.

    The earliest learned is applied first, wherever its pair occurs (Sennrich et al. 2016,
    algorithm 1).
    """
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    spelled = [spelling.translate(BYTE_OF_ID) for spelling in spellings(merges)]
    tokens = list(text_bytes(word).translate(ID_OF_BYTE))
    steps = []
    while found := [ranks[pair] for pair in pairwise(tokens) if pair in ranks]:
        rank = min(found)
        first, second = merges[rank]
        tokens = _joined(tokens, merges[rank], BYTES + rank)
        pieces = tuple(spelled[token] for token in tokens)
        steps.append(Merge(rank, (spelled[first], spelled[second]), pieces))
    return steps


def _joined(tokens: Sequence[int], pair: Pair, new: int) -> list[int]:
    """Replace each `pair` in the tokens, from left to right, by `new`."""
    result: list[int] = []
    for token in tokens:
        if result and (result[-1], token) == pair:
            result[-1] = new
        else:
            result.append(token)
    return result


def telling_word(merges: Sequence[Pair], words: Sequence[str]) -> str | None:
    """Return the first word that ends as one token after at least six merges.

    If no word took so many, the first of the words that took most; None if none is one token.
    """
    whole = {
        spelling.translate(BYTE_OF_ID).decode("utf-8", "replace")
        for spelling in spellings(merges)[BYTES:]
    }
    best, most = None, 0
    for word in words:
        if word in whole:
            taken = len(derive(merges, word))
            if taken > most:
                best, most = word, taken
            if most >= LEAST_MERGES:
                break
    return best
