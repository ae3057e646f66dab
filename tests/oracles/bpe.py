"""Slow twins of byte-pair encoding: every step starts anew, and nothing is kept up to date."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise

from variorum.corpus import unicode14

Pair = tuple[int, int]


def split(text: str) -> list[str]:
    """GPT-2's pretokens by reading from left to right, without its pattern."""
    pieces = []
    start = 0
    while start < len(text):
        end = _piece_end(text, start)
        pieces.append(text[start:end])
        start = end
    return pieces


def _piece_end(text: str, start: int) -> int:
    for contraction in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d"):
        if text.startswith(contraction, start):
            return start + len(contraction)
    first = start + 1 if text[start] == " " and start + 1 < len(text) else start
    if _sort_of(text[first]) != "space":
        return _run_end(text, first)
    end = _run_end(text, start)
    # All of the run, if it ends the text or is one sign; else its last sign stays for the word.
    return end if end == len(text) or end == start + 1 else end - 1


def _run_end(text: str, start: int) -> int:
    end = start
    while end < len(text) and _sort_of(text[end]) == _sort_of(text[start]):
        end += 1
    return end


@cache
def _sort_of(character: str) -> str:
    if re.match(f"[{unicode14.LETTERS}]", character):
        return "letter"
    if re.match(f"[{unicode14.NUMBERS}]", character):
        return "number"
    return "space" if re.match(f"[{unicode14.WHITE_SPACE}]", character) else "other"


def learn(counts: Mapping[bytes, int], most: int) -> list[Pair]:
    """The merges by rank: all pairs are counted again before every merge."""
    words = [(list(word), count) for word, count in counts.items()]
    merges: list[Pair] = []
    while len(merges) < most:
        pairs: Counter[Pair] = Counter()
        for tokens, count in words:
            for pair in pairwise(tokens):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], -pair[0], -pair[1]))
        new = 256 + len(merges)
        words = [(replaced(tokens, best, new), count) for tokens, count in words]
        merges.append(best)
    return merges


def replaced(tokens: Sequence[int], pair: Pair, new: int) -> list[int]:
    """The tokens with every occurrence of the pair merged, from left to right."""
    result: list[int] = []
    at = 0
    while at < len(tokens):
        if tuple(tokens[at : at + 2]) == pair:
            result.append(new)
            at += 2
        else:
            result.append(tokens[at])
            at += 1
    return result


def apply(word: bytes, merges: Sequence[Pair]) -> list[int]:
    """The ids of a word: one merge at a time, of lowest rank, the leftmost among equals."""
    tokens = list(word)
    while candidates := [
        (merges.index(pair), at) for at, pair in enumerate(pairwise(tokens)) if pair in merges
    ]:
        rank, at = min(candidates)
        tokens[at : at + 2] = [256 + rank]
    return tokens
