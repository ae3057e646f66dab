"""The byte-pair tokenizer: what it learns, and that it loses nothing."""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, trainers

import variorum
from conftest import tiny_shakespeare
from oracles import bpe as oracle
from variorum.base.errors import VariorumError
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.tokenizer.base import END_OF_TEXT
from variorum.tokenizer.kinds import bpe

SECONDS = 20  # generous for a busy machine; quadratic time would take many minutes
MIXED = "Don't panic: l'été, naïve – 漢字 12³ 😀😀\tend\r\n\n   done "


def generated(words: int) -> str:
    """Text of a made-up language: syllables, frequent words, numbers, some of other scripts."""
    draw = random.Random(7)
    syllables = ["ka", "to", "ri", "ße", "mu", "漢", "ni", "é", "'s", "the"]
    lexicon = ["".join(draw.choices(syllables, k=draw.randint(1, 6))) for _ in range(3000)]
    pieces = draw.choices(lexicon, [1 / (rank + 1) for rank in range(3000)], k=words)
    return "".join(
        piece + draw.choice([" ", " ", " ", ", ", ".\n", "  ", f" {draw.randint(0, 99)} "])
        for piece in pieces
    )


def settings(vocab_size: int) -> TokenizerSettings:
    return TokenizerSettings(kind="bpe", vocab_size=vocab_size)


@pytest.fixture(scope="module")
def trained() -> bpe.BytePairTokenizer:
    return bpe.train([generated(3000), MIXED], settings(600))


@pytest.fixture(scope="module")
def peer(
    trained: bpe.BytePairTokenizer, tmp_path_factory: pytest.TempPathFactory
) -> tokenizers.Tokenizer:
    path = tmp_path_factory.mktemp("peer") / "tokenizer.json"
    trained.save(path)
    return tokenizers.Tokenizer.from_file(str(path))


def peer_training(texts: Iterator[str], vocab_size: int) -> tuple[dict[str, int], list[str]]:
    """Vocabulary and merges of Hugging Face's trainer."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [" ".join(merge) for merge in model["merges"]]


# --- what is learned ------------------------------------------------------------------------


@pytest.mark.parametrize("vocab_size", [257, 300, 1500])
def test_a_generated_text_gives_the_merges_of_the_peer(vocab_size: int) -> None:
    texts = [generated(4000), MIXED]
    model = bpe.train(texts, settings(vocab_size)).document()["model"]
    vocabulary, merges = peer_training(iter(texts), vocab_size - 1)
    assert model["merges"] == merges
    assert model["vocab"] == vocabulary | {END_OF_TEXT: vocab_size - 1}


def test_tiny_shakespeare_gives_the_merges_of_the_peer() -> None:
    text = tiny_shakespeare().read_text(encoding="utf-8")
    model = bpe.train([text], settings(4096)).document()["model"]
    vocabulary, merges = peer_training(iter([text]), 4095)
    assert model["merges"] == merges
    assert model["vocab"] == vocabulary | {END_OF_TEXT: 4095}


@given(st.lists(st.text("ab c1'é\n", max_size=40), max_size=4), st.integers(257, 275))
def test_random_texts_give_the_merges_of_the_slow_twin(texts: list[str], vocab_size: int) -> None:
    counts = Counter(piece for text in texts for piece in oracle.split(text))
    words = {p.encode().translate(bpe.ID_OF_BYTE): n for p, n in counts.items()}
    merges = oracle.learn(words, vocab_size - 257)
    if len(merges) < vocab_size - 257:
        with pytest.raises(VariorumError, match=f"set at most {len(merges) + 257}"):
            bpe.train(texts, settings(vocab_size))
        return
    tokenizer = bpe.train(texts, settings(vocab_size))
    assert list(tokenizer.merges) == merges
    for text in texts:
        pieces = [p.encode().translate(bpe.ID_OF_BYTE) for p in oracle.split(text)]
        ids = [i for piece in pieces for i in oracle.apply(piece, merges)]
        assert tokenizer.encode(text) == ids


def test_a_text_too_small_says_how_many_merges_it_has_and_what_to_set() -> None:
    with pytest.raises(VariorumError, match=r"for 300 tokens: only 3 merges.*at most 260"):
        bpe.train(["abcd"], settings(300))
    assert bpe.train(["abcd"], settings(260)).vocab_size == 260
    with pytest.raises(VariorumError, match="only 0 merges"):
        bpe.train([], settings(258))


def test_a_vocabulary_without_room_for_the_bytes_is_refused() -> None:
    nothing = TokenizerSettings(kind="characters", vocab_size=None)
    with pytest.raises(VariorumError, match="at least 257"):
        bpe.train(["abc"], nothing)


def test_merges_never_cross_from_one_text_to_the_next() -> None:
    with pytest.raises(VariorumError, match="only 0 merges"):
        bpe.train(["a", "b", "a", "b"], settings(258))


def test_the_bytes_come_first_in_gpt2s_order_and_end_of_text_last(
    trained: bpe.BytePairTokenizer,
) -> None:
    assert [trained.token_bytes(i) for i in (0, 93, 94, 187, 188, 220, 255)] == [
        b"!", b"~", b"\xa1", b"\xff", b"\x00", b" ", b"\xad"
    ]  # fmt: skip
    assert {trained.token_bytes(i) for i in range(256)} == {bytes([b]) for b in range(256)}
    assert trained.eot == trained.vocab_size - 1 == 599
    assert trained.token_bytes(trained.eot) == b""


def test_the_file_is_the_same_bytes_under_any_hash_seed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from variorum.config.tokenizer_settings import TokenizerSettings\n"
        "from variorum.tokenizer.kinds import bpe\n"
        "text = Path(sys.argv[1]).read_text('utf-8')\n"
        "settings = TokenizerSettings(kind='bpe', vocab_size=900)\n"
        "bpe.train([text], settings).save(Path(sys.argv[2]))\n"
    )
    text = tmp_path / "text"
    text.write_text(generated(3000), encoding="utf-8")
    digests = set()
    for seed in ("0", "1", "4321"):
        saved = tmp_path / f"{seed}.json"
        source = str(Path(variorum.__file__).parents[1])
        subprocess.run(
            [sys.executable, "-c", program, text, saved],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": source},
            check=True,
        )
        digests.add(hashlib.sha256(saved.read_bytes()).hexdigest())
    assert len(digests) == 1


# --- encoding and decoding ------------------------------------------------------------------


@given(st.text() | st.text("kato ri'sße漢\n0😀\ud800"))
def test_any_text_comes_back(trained: bpe.BytePairTokenizer, text: str) -> None:
    ids = trained.encode(text)
    assert trained.decode_bytes(ids).decode("utf-8", "surrogatepass") == text
    assert trained.eot not in ids


@given(st.binary())
def test_any_bytes_have_ids_that_give_them_back(
    trained: bpe.BytePairTokenizer, data: bytes
) -> None:
    ids = list(data.translate(bpe.ID_OF_BYTE))
    assert trained.decode_bytes(ids) == data
    assert trained.decode(ids) == data.decode("utf-8", "replace")


@given(st.text(st.characters(exclude_categories=["Cs", "Cn"])) | st.text("katori'sße漢 \n0😀"))
def test_any_text_has_the_ids_that_the_peer_gives_it(
    trained: bpe.BytePairTokenizer, peer: tokenizers.Tokenizer, text: str
) -> None:
    assert trained.encode(text) == peer.encode(text, add_special_tokens=False).ids


def test_the_peer_decodes_as_we_do(
    trained: bpe.BytePairTokenizer, peer: tokenizers.Tokenizer
) -> None:
    ids = [*trained.encode(MIXED), trained.eot]
    assert peer.decode(ids) == trained.decode(ids) == MIXED
    assert peer.get_vocab_size() == trained.vocab_size
    assert peer.token_to_id(END_OF_TEXT) == trained.eot


def test_a_special_string_in_a_text_is_ordinary_text(
    trained: bpe.BytePairTokenizer, peer: tokenizers.Tokenizer
) -> None:
    text = f"a{END_OF_TEXT}b"
    assert trained.eot not in trained.encode(text)
    assert trained.decode(trained.encode(text)) == text
    peer.encode_special_tokens = True
    assert trained.encode(text) == peer.encode(text).ids


def test_a_lone_surrogate_is_kept_in_the_bytes_and_shown_as_unknown(
    trained: bpe.BytePairTokenizer,
) -> None:
    ids = trained.encode("a\udcffb")
    assert trained.decode_bytes(ids) == b"a\xed\xb3\xbfb"
    assert trained.decode(ids) == "a\ufffd\ufffd\ufffdb"


@pytest.mark.parametrize("token", [-1, 600, 10**9])
def test_an_unknown_id_is_named_with_what_is_allowed(
    trained: bpe.BytePairTokenizer, token: int
) -> None:
    for decode in (trained.decode, trained.decode_bytes):
        with pytest.raises(VariorumError, match=f"token id {token} .* from 0 to 599"):
            decode([0, token])
    with pytest.raises(VariorumError, match=f"token id {token} "):
        trained.token_bytes(token)


def test_encoding_again_gives_the_same_ids_when_the_cache_overflows(
    trained: bpe.BytePairTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = generated(500)
    expected = trained.encode(text)
    monkeypatch.setattr(bpe, "CACHED_PRETOKENS", 3)
    small = bpe.BytePairTokenizer(trained.merges)
    assert small.encode(text) == small.encode(text) == expected
    assert len(small._encoded) <= 3


@pytest.mark.parametrize("sign", ["a", " ", "\n", "!", "é", "😀"])
def test_a_hundred_thousand_of_one_sign_are_encoded_at_once(sign: str) -> None:
    tokenizer = bpe.train([sign * 64], settings(261))
    start = time.process_time()
    ids = tokenizer.encode(sign * 100_000)
    assert time.process_time() - start < SECONDS
    assert tokenizer.decode(ids) == sign * 100_000


def test_training_on_one_long_run_takes_no_quadratic_time() -> None:
    start = time.process_time()
    assert bpe.train(["a" * 100_000], settings(270)).token_bytes(268) == b"a" * 8192
    assert time.process_time() - start < SECONDS
