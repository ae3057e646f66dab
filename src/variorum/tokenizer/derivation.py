"""How byte-pair encoding builds a word: merge by merge, and which words it leaves in pieces.

Takes learned merges and counted words. A word here is a pretoken of letters with the space before
it, if there is one, since that is what merges are learned from.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from variorum.base.unicode14 import LETTERS
from variorum.tokenizer.base import text_bytes
from variorum.tokenizer.kinds.bpe import BYTE_OF_ID, ID_OF_BYTE
from variorum.tokenizer.merges import BYTES, Pair, spellings
from variorum.tokenizer.pretokens import split

LEAST_MERGES = 6
"""Of the word that is told of: fewer make a short story."""


@dataclass(frozen=True)
class Merge:
    """One step: the rank of a merge, from 0 on, the two pieces that it joins, and all pieces then.

    Pieces are bytes of the text.
    """

    rank: int
    joined: tuple[bytes, bytes]
    pieces: tuple[bytes, ...]


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word stands in some texts."""
    pretokens = Counter[str]()
    for text in texts:
        pretokens.update(split(text))
    word = re.compile(f" ?[{LETTERS}]+")
    return Counter({piece: n for piece, n in pretokens.items() if word.fullmatch(piece)})


def by_frequency(counts: Mapping[str, int]) -> list[str]:
    """Words from the commonest to the rarest; those that are equally common by their letters."""
    return sorted(counts, key=lambda word: (-counts[word], word))


def derive(merges: Sequence[Pair], word: str) -> list[Merge]:
    """Every merge that turns the bytes of a word into its tokens, in order.

    The earliest learned is applied first, and wherever its pair stands (Sennrich et al. 2016,
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
    """The tokens with each `pair`, from left to right, replaced by `new`."""
    result: list[int] = []
    for token in tokens:
        if result and (result[-1], token) == pair:
            result[-1] = new
        else:
            result.append(token)
    return result


def telling_word(merges: Sequence[Pair], words: Sequence[str]) -> str | None:
    """The first of some words that ends as one token after at least six merges.

    Where no word took so many, the first of those that took most; None if none is one token.
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
