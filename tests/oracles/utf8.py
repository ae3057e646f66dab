"""Valid UTF-8 by Python's own codec: every character is encoded, and its bytes are looked at.

Python's incremental decoder alone would not do: it waits for a third byte after ED A0, which no
character begins with.
"""

from collections.abc import Iterator, Sequence
from functools import cache


@cache
def characters() -> frozenset[bytes]:
    """The bytes of every character."""
    points = (*range(0xD800), *range(0xE000, 0x110000))
    return frozenset(chr(point).encode() for point in points)


@cache
def followers() -> dict[bytes, set[int]]:
    """Every beginning of a character, the empty one included, and the bytes that may follow."""
    found: dict[bytes, set[int]] = {}
    for character in characters():
        for length in range(len(character)):
            found.setdefault(character[:length], set()).add(character[length])
    return found


def behind(begun: bytes, token: bytes) -> bytes | None:
    """The unfinished character behind both; None if they are not UTF-8."""
    for byte in token:
        if byte not in followers()[begun]:
            return None
        begun += bytes([byte])
        if begun in characters():
            begun = b""
    return begun


def tokens_needed(begun: bytes, spellings: Sequence[bytes], most: int = 4) -> int | None:
    """The fewest tokens that finish a character, by trying all of them; None if they cannot."""
    places = {begun}
    for count in range(most + 1):
        if b"" in places:
            return count
        places = set(_next(places, spellings))
    return None


def _next(places: set[bytes], spellings: Sequence[bytes]) -> Iterator[bytes]:
    for place in places:
        for token in spellings:
            if (after := behind(place, token)) is not None:
                yield after
                if after == b"":
                    return
