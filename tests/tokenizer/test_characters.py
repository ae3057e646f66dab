"""The character tokenizer: one id a character, bytes for unknown ones."""

from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from variorum.base.errors import VariorumError
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.tokenizer.base import END_OF_TEXT
from variorum.tokenizer.kinds import characters

SETTINGS = TokenizerSettings(kind="characters", vocab_size=None)


@pytest.fixture(scope="module")
def trained() -> characters.CharacterTokenizer:
    return characters.train(["héllo", " wörld\n", "hello 😀", "<0x41>"], SETTINGS)


def test_the_ids_are_characters_by_code_point_then_bytes_then_end_of_text() -> None:
    tokenizer = characters.train(["ba", "é"], SETTINGS)
    assert tokenizer.vocab_size == 3 + 256 + 1
    assert [tokenizer.token_bytes(i) for i in range(5)] == [b"a", b"b", "é".encode(), b"\0", b"\1"]
    assert tokenizer.token_bytes(258) == b"\xff"
    assert tokenizer.eot == 259
    assert tokenizer.token_bytes(259) == b""


def test_known_characters_are_one_token_and_unknown_ones_their_bytes() -> None:
    tokenizer = characters.train(["ab"], SETTINGS)
    assert tokenizer.encode("abß") == [0, 1, 2 + 0xC3, 2 + 0x9F]


@given(st.text())
def test_any_text_comes_back(trained: characters.CharacterTokenizer, text: str) -> None:
    ids = trained.encode(text)
    assert trained.decode_bytes(ids).decode("utf-8", "surrogatepass") == text
    assert trained.eot not in ids


@given(st.binary())
def test_any_bytes_have_ids_that_give_them_back(
    trained: characters.CharacterTokenizer, data: bytes
) -> None:
    first_byte = len(trained.characters)
    assert trained.decode_bytes(first_byte + value for value in data) == data


# the peer takes the name of the special token for the token; here text is text (see above)
@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda t: "<|endoftext|>" not in t))
def test_any_text_has_the_ids_that_the_peer_gives_it(
    trained: characters.CharacterTokenizer,
    tmp_path_factory: pytest.TempPathFactory,
    text: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / "characters.json"
    if not path.exists():
        trained.save(path)
    peer = tokenizers.Tokenizer.from_file(str(path))
    ids = trained.encode(text)
    assert peer.encode(text).ids == ids
    assert peer.decode(ids) == trained.decode(ids) == text


def test_a_special_string_in_a_text_is_ordinary_text(
    trained: characters.CharacterTokenizer,
) -> None:
    ids = trained.encode(f"h{END_OF_TEXT}")
    assert trained.eot not in ids
    assert trained.decode(ids) == f"h{END_OF_TEXT}"


def test_lone_surrogates_stay_out_of_the_vocabulary_but_not_of_the_text(tmp_path: Path) -> None:
    tokenizer = characters.train(["a\ud800b"], SETTINGS)
    assert tokenizer.characters == "ab"
    assert tokenizer.decode_bytes(tokenizer.encode("a\ud800")) == b"a\xed\xa0\x80"
    tokenizer.save(tmp_path / "tokenizer.json")


def test_an_empty_text_is_refused() -> None:
    with pytest.raises(VariorumError, match="is empty"):
        characters.train(["", ""], SETTINGS)


@pytest.mark.parametrize("token", [-1, 1000])
def test_an_unknown_id_is_named(trained: characters.CharacterTokenizer, token: int) -> None:
    with pytest.raises(VariorumError, match=f"token id {token} "):
        trained.decode([token])
