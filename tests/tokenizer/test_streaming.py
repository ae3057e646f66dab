"""Streamed text is whole characters, and all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from variorum.base.errors import VariorumError
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.tokenizer.kinds import characters
from variorum.tokenizer.streaming import TextStream, unfinished

TOKENIZER = characters.train(["ab"], TokenizerSettings(kind="characters", vocab_size=None))


def test_a_character_appears_when_its_last_byte_does() -> None:
    stream = TextStream(TOKENIZER)
    assert [stream.feed(i) for i in TOKENIZER.encode("a😀b")] == ["a", "", "", "", "😀", "b"]
    assert stream.finish() == ""


def test_half_a_character_at_the_end_is_shown_as_unknown() -> None:
    stream = TextStream(TOKENIZER)
    assert [stream.feed(i) for i in TOKENIZER.encode("😀")[:2]] == ["", ""]
    assert stream.finish() == "\ufffd"


def test_end_of_text_prints_nothing() -> None:
    assert TextStream(TOKENIZER).feed(TOKENIZER.eot) == ""


def test_an_unknown_id_is_named() -> None:
    with pytest.raises(VariorumError, match="token id 5000 "):
        TextStream(TOKENIZER).feed(5000)


@given(st.lists(st.lists(st.integers(0, TOKENIZER.eot)), min_size=1, max_size=3))
def test_the_pieces_joined_are_the_decoded_text_each_time(texts: list[list[int]]) -> None:
    stream = TextStream(TOKENIZER)
    for ids in texts:
        pieces = [stream.feed(i) for i in ids] + [stream.finish()]
        assert "".join(pieces) == TOKENIZER.decode(ids)


@given(st.text())
def test_valid_text_never_shows_an_unknown_character(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode().replace("\ufffd", "")
    stream = TextStream(TOKENIZER)
    for token in TOKENIZER.encode(text):
        assert "\ufffd" not in stream.feed(token)
    assert stream.finish() == ""


@given(st.text(alphabet="aé漢👍", min_size=1), st.integers(0, 40))
def test_a_character_that_was_begun_before_comes_whole_with_its_last_byte(
    text: str, cut: int
) -> None:
    ids, data = TOKENIZER.encode(text), text.encode()
    before = TOKENIZER.decode_bytes(ids[:cut])
    begun = unfinished(TOKENIZER, ids[:cut])
    stream = TextStream(TOKENIZER, begun)
    written = "".join(map(stream.feed, ids[cut:]))
    if cut < len(ids):
        assert stream.finish() == ""
        assert before.removesuffix(begun).decode() + written == text
    else:
        assert (before, begun, written) == (data, b"", "")
