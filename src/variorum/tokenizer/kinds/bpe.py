"""Encode by byte-level byte-pair encoding, as GPT-2 (Radford et al. 2019, section 2.2).

Text is cut into pretokens by GPT-2's pattern, each pretoken's UTF-8 bytes are the first tokens, and
learned merges join them. The ids: the 256 bytes in GPT-2's order, one id for each merge in the
order learned, then `<|endoftext|>`.

`train` takes texts and settings and returns a `BytePairTokenizer`. It has two steps: `count` takes
texts and returns counts, which add up, and `learn` takes counts. `from_document` makes a tokenizer
from the content of its file.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from variorum.base.errors import VariorumError
from variorum.config.tokenizer_settings import SPECIAL_TOKENS, TokenizerSettings
from variorum.tokenizer.base import PretokenTokenizer, hugging_face_document, text_bytes
from variorum.tokenizer.merges import BYTES, Pair, apply, spellings
from variorum.tokenizer.pretokens import split_by_chunks

if TYPE_CHECKING:
    from variorum.tokenizer.merging import Merging

CACHED_PRETOKENS = 1 << 17
CACHED_CHARACTERS = 64  # of one pretoken; longer ones hardly come twice


# The bytes that GPT-2 shows as themselves: the printing ones of Latin-1, without its spaces.
PRINTING = bytes([*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)])
# The byte of each of the first 256 ids, the id of each byte, and a sign that prints for each of
# those ids, as vocabulary files are text.
BYTE_OF_ID = PRINTING + bytes(value for value in range(BYTES) if value not in PRINTING)
ID_OF_BYTE = bytes(map(BYTE_OF_ID.index, range(BYTES)))
SIGNS = PRINTING.decode("latin-1") + "".join(map(chr, range(BYTES, 2 * BYTES - len(PRINTING))))


class BytePairTokenizer(PretokenTokenizer):
    """Apply byte-level BPE with merges by rank; rank r makes the id 256 + r."""

    def __init__(self, merges: Sequence[Pair]) -> None:
        super().__init__(spelling.translate(BYTE_OF_ID) for spelling in spellings(merges))
        self.merges = tuple(merges)
        self._ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self._encoded = _EncodedPretokens(self._ranks)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text`."""
        pretokens = chain.from_iterable(split_by_chunks(text))
        return list(chain.from_iterable(map(self._encoded.__getitem__, pretokens)))

    @cached_property
    def _merging(self) -> "Merging":
        from variorum.tokenizer.merging import Merging

        return Merging(self._ranks)

    def encode_pretokens(self, pretokens: Sequence[bytes]) -> list[list[int]]:
        """Return the token ids of each pretoken."""
        return self._merging.apply([pretoken.translate(ID_OF_BYTE) for pretoken in pretokens])

    def document(self) -> dict[str, Any]:
        """Return the content of `tokenizer.json`, for a BPE model of bytes."""
        names = [_signs(spelling) for spelling in spellings(self.merges)]
        return hugging_face_document(
            "bpe",
            {name: i for i, name in enumerate(names)},
            [f"{names[first]} {names[second]}" for first, second in self.merges],
            byte_fallback=False,
            pre_tokenizer=_byte_level(),
            decoder=_byte_level(),
        )


class _EncodedPretokens(dict[str, list[int]]):
    """Cache the ids of pretokens: encoded at first use, stored while there is room."""

    def __init__(self, ranks: Mapping[Pair, int]) -> None:
        self._ranks = ranks

    def __missing__(self, pretoken: str) -> list[int]:
        ids = apply(text_bytes(pretoken).translate(ID_OF_BYTE), self._ranks)
        if len(pretoken) <= CACHED_CHARACTERS:
            if len(self) >= CACHED_PRETOKENS:
                self.clear()
            self[pretoken] = ids
        return ids


def train(texts: Iterable[str], settings: TokenizerSettings) -> BytePairTokenizer:
    """Learn the merges of a vocabulary of `settings.vocab_size` from `texts`; see `learn`."""
    return learn(count(texts), settings)


def count(texts: Iterable[str]) -> dict[bytes, int]:
    """Return how often each pretoken occurs in some texts."""
    from variorum.tokenizer import bulk

    return bulk.count(texts)


def learn(counts: Mapping[bytes, int], settings: TokenizerSettings) -> BytePairTokenizer:
    """Learn the merges of a vocabulary of `settings.vocab_size` from counted pretokens.

    Exact and deterministic: the pair with the highest count is merged; of pairs with equal counts,
    the pair with the lowest ids. Raises `VariorumError` for a text with too few pairs for that
    size.
    """
    from variorum.tokenizer import learning

    if settings.vocab_size is None or settings.vocab_size <= BYTES:
        raise VariorumError(
            f"tokenizer.vocab_size: {settings.vocab_size} does not hold the {BYTES} bytes and "
            f"<|endoftext|>; give at least {BYTES + 1}"
        )
    words = {pretoken.translate(ID_OF_BYTE): n for pretoken, n in counts.items()}
    wanted = settings.vocab_size - BYTES - SPECIAL_TOKENS
    merges = learning.learn(words, wanted)
    if len(merges) < wanted:
        raise VariorumError(
            f"tokenizer.vocab_size: the text is too small for {settings.vocab_size} tokens: only "
            f"{len(merges)} merges were possible; set at most "
            f"{BYTES + len(merges) + SPECIAL_TOKENS}, or give more text"
        )
    return BytePairTokenizer(merges)


def from_document(document: dict[str, Any]) -> BytePairTokenizer:
    """Return the tokenizer whose `document()` this is.

    Other content raises any error, or gives another tokenizer.
    """
    merges: list[Pair] = []
    ids = {sign: i for i, sign in enumerate(SIGNS)}
    for merge in document["model"]["merges"]:
        first, second = merge.split(" ")
        merges.append((ids[first], ids[second]))
        if first + second in ids:
            raise ValueError(f"two merges make {first + second}")
        ids[first + second] = len(ids)
    return BytePairTokenizer(merges)


def _byte_level() -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }


def _signs(spelling: bytes) -> str:
    return "".join(map(SIGNS.__getitem__, spelling))
