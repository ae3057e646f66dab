"""The bulk encoder gives the ids of the readable one, and counts pretokens as they are."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.tokenizer import bulk
from variorum.tokenizer.base import Tokenizer, text_bytes
from variorum.tokenizer.boundaries import END, begins
from variorum.tokenizer.kinds import bpe, characters
from variorum.tokenizer.pretokens import split

SIGNS = "ab'strevmld19²Ⅷ .,!-_\t\n\r\x1c\x85\u00a0\u3000éß漢字ً😀𝐀𝟘\u0301\ud800\0"
TEXTS = st.lists(st.text(SIGNS, max_size=60) | st.text(), max_size=4)
WORDS = " the there 'stop don't 漢字漢字 19 é\n\n\tthe end of a_long_name"
KINDS = {
    "bpe": bpe.train([WORDS * 3], TokenizerSettings(vocab_size=290)),
    "characters": characters.train([WORDS], TokenizerSettings(kind="characters")),
}


def pieces(texts: list[str]) -> list[bytes]:
    """The pretokens of some texts, each ended by END, as `begins` cuts them."""
    data = b"".join(text_bytes(text) + bytes([END]) for text in texts)
    starts = begins(np.frombuffer(data, dtype=np.uint8)).tolist()
    return [data[start:stop] for start, stop in zip(starts, [*starts[1:], None], strict=False)]


def expected(texts: list[str]) -> list[bytes]:
    return [piece for text in texts for piece in [*map(text_bytes, split(text)), bytes([END])]]


@given(TEXTS)
def test_the_pieces_of_any_texts_are_the_patterns(texts: list[str]) -> None:
    assert pieces(texts) == expected(texts)


def test_every_character_is_cut_as_by_the_pattern() -> None:
    codes = [code for code in range(0x110000) if code < 0x3400 or code % 61 == 0]
    texts = [f"a{chr(code)}1{chr(code)}! {chr(code)}" for code in codes]
    assert pieces(texts) == expected(texts)


@pytest.mark.parametrize("kind", KINDS)
@given(texts=TEXTS, together=st.sampled_from([1, 20, 1 << 18]), cached=st.integers(0, 40))
def test_any_texts_have_the_ids_of_the_readable_encoder(
    kind: str, texts: list[str], together: int, cached: int
) -> None:
    tokenizer: Tokenizer = KINDS[kind]
    ids = [token for text in texts for token in [*tokenizer.encode(text), tokenizer.eot]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "_TOGETHER", together)
        patch.setattr(bulk, "_CACHED", cached)
        encode = bulk.encoder(tokenizer)
        assert encode(texts).tolist() == encode(texts).tolist() == ids


@given(TEXTS, st.sampled_from([1, 20, 1 << 18]))
def test_counts_are_the_numbers_of_pretokens(texts: list[str], together: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk, "_TOGETHER", together)
        assert bulk.count(texts) == Counter(text_bytes(p) for text in texts for p in split(text))


@pytest.mark.parametrize("bits", [1, 3])
def test_pretokens_that_share_a_place_keep_their_ids(
    bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(1)
    text = "".join(draw.choices("abc 1\n'", k=3000))
    monkeypatch.setattr(bulk, "_PLACE_BITS", bits)
    encode = bulk.encoder(KINDS["bpe"])
    for _ in range(2):
        assert encode([text]).tolist() == [*KINDS["bpe"].encode(text), KINDS["bpe"].eot]


def test_short_pretokens_with_the_bytes_of_longer_ones_keep_their_ids() -> None:
    texts = [f"{'a' * n}\0{'b' * m}" for n in range(18) for m in range(4)] + ["\0" * 9, "\0" * 8]
    assert pieces(texts) == expected(texts)
    ids = [token for text in texts for token in [*KINDS["bpe"].encode(text), KINDS["bpe"].eot]]
    assert bulk.encoder(KINDS["bpe"])(texts).tolist() == ids
