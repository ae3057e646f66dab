"""Text in, text out: pieces that join, whole characters, and an end where the text ends."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import sampling as oracle
from variorum.base.errors import VariorumError
from variorum.config.evaluation_settings import SamplingSettings
from variorum.config.model_settings import ModelSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.generation.sampler import generate
from variorum.generation.text import Prompt, continue_text, continue_texts, stream_text
from variorum.model.gpt import GPT
from variorum.tokenizer.base import Tokenizer
from variorum.tokenizer.kinds import bpe, characters
from variorum.tokenizer.streaming import unfinished

SETTINGS = SamplingSettings(temperature=1.5, top_p=1.0, max_tokens=60, seed=2)
SAMPLE_TEXT = "to be or not to be, été 漢字"


def with_changes(**changes: object) -> SamplingSettings:
    return SamplingSettings.model_validate(SETTINGS.model_dump() | changes)


def model_for(tokenizer: Tokenizer, context_length: int = 16) -> GPT:
    chosen = ModelSettings(n_layer=1, n_head=2, n_embd=16, context_length=context_length)
    return GPT(chosen, tokenizer.vocab_size, seed=2).eval()


TOKENIZERS = {
    "bpe": bpe.train([SAMPLE_TEXT], TokenizerSettings(vocab_size=264)),
    "characters": characters.train([SAMPLE_TEXT], TokenizerSettings(kind="characters")),
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return TOKENIZERS[request.param]


@pytest.fixture
def model(tokenizer: Tokenizer) -> GPT:
    return model_for(tokenizer)


def tokens_of(
    model: GPT, tokenizer: Tokenizer, ids: Sequence[int], chosen: SamplingSettings
) -> list[int]:
    return list(generate(model, ids, chosen, stop=tokenizer.eot, tokenizer=tokenizer))


@pytest.mark.parametrize("valid_utf8", [True, False])
def test_the_pieces_join_to_the_decoded_tokens(
    model: GPT, tokenizer: Tokenizer, valid_utf8: bool
) -> None:
    chosen = with_changes(valid_utf8=valid_utf8)
    tokens = tokens_of(model, tokenizer, tokenizer.encode("to be"), chosen)
    pieces = list(stream_text(model, tokenizer, "to be", chosen))
    assert "".join(pieces) == tokenizer.decode(tokens)
    assert continue_text(model, tokenizer, "to be", chosen) == tokenizer.decode(tokens)
    assert all(pieces)
    assert len(pieces) > 5
    assert ("\ufffd" in "".join(pieces)) != valid_utf8


def test_a_cache_changes_no_character(model: GPT, tokenizer: Tokenizer) -> None:
    cached = continue_text(model, tokenizer, "été", SETTINGS)
    assert cached == continue_text(model, tokenizer, "été", SETTINGS, use_cache=False)


def test_an_empty_prompt_begins_a_document(model: GPT, tokenizer: Tokenizer) -> None:
    tokens = tokens_of(model, tokenizer, [tokenizer.eot], SETTINGS)
    assert continue_text(model, tokenizer, "", SETTINGS) == tokenizer.decode(tokens)


def test_the_text_ends_with_the_document() -> None:
    tokenizer = TOKENIZERS["bpe"]
    model = model_for(tokenizer)
    chosen = with_changes(seed=1, valid_utf8=False)
    tokens = list(generate(model, tokenizer.encode("to be"), chosen))
    end = tokens.index(tokenizer.eot)
    assert tokenizer.decode(tokens[:end]) != tokenizer.decode(tokens)
    written = stream_text(model, tokenizer, "to be", chosen)
    assert "".join(written) == tokenizer.decode(tokens[:end])
    assert (written.account.ending, written.account.tokens) == ("document", end + 1)


def test_the_tokenizer_of_another_model_is_refused_at_once() -> None:
    other = GPT(ModelSettings(n_layer=1, n_head=1, n_embd=4, context_length=4), 99)
    with pytest.raises(VariorumError, match="has 264 tokens and the model 99"):
        stream_text(other, TOKENIZERS["bpe"], "to be", SETTINGS)


# Valid UTF-8


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(TOKENIZERS)),
    st.text(max_size=6),
    st.integers(1, 12),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 1.0, 2.0, 50.0]),
)
def test_every_length_ends_with_a_whole_character(
    kind: str, prompt: str, length: int, seed: int, temperature: float
) -> None:
    tokenizer = TOKENIZERS[kind]
    chosen = with_changes(max_tokens=length, seed=seed, temperature=temperature, top_p=0.9)
    ids = tokenizer.encode(prompt) or [tokenizer.eot]
    tokens = tokens_of(model_for(tokenizer), tokenizer, ids, chosen)
    written = tokenizer.decode_bytes(tokens).decode("utf-8")  # strictly
    assert continue_text(model_for(tokenizer), tokenizer, prompt, chosen) == written


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_prompt_that_ends_inside_a_character_is_first_finished(
    model: GPT, tokenizer: Tokenizer, cut: int
) -> None:
    ids = tokenizer.encode("to be 👍")[:-1]  # an emoji, byte by byte
    ids = ids[: len(ids) - 3 + cut]
    begun = tokenizer.decode_bytes(ids).removeprefix(b"to be ")
    assert len(begun) == cut
    for seed in range(20):
        chosen = with_changes(seed=seed, max_tokens=4)
        tokens = tokens_of(model, tokenizer, ids, chosen)
        text = (begun + tokenizer.decode_bytes(tokens)).decode("utf-8")
        assert text[0].encode().startswith(begun)
        assert continue_text(model, tokenizer, ids, chosen) == text


def test_a_prompt_with_a_lone_surrogate_is_followed_by_whole_characters(
    model: GPT, tokenizer: Tokenizer
) -> None:
    ids = tokenizer.encode("\udcff")
    for cut in range(1, len(ids) + 1):
        text = continue_text(model, tokenizer, ids[:cut], SETTINGS)
        begun = unfinished(tokenizer, ids[:cut])
        assert begun == (b"\xed" if cut == 1 else b"")  # ED alone may still become a character
        tokens = tokens_of(model, tokenizer, ids[:cut], SETTINGS)
        assert text == (begun + tokenizer.decode_bytes(tokens)).decode("utf-8")


def test_a_length_too_short_for_the_prompts_character_is_an_error_at_once(
    model: GPT, tokenizer: Tokenizer
) -> None:
    ids = tokenizer.encode("👍")[:1]
    with pytest.raises(VariorumError, match=r"max_tokens: 2: .* 3 more tokens finish it"):
        stream_text(model, tokenizer, ids, with_changes(max_tokens=2))


def test_the_probability_that_was_taken_away_is_told(model: GPT, tokenizer: Tokenizer) -> None:
    written = stream_text(model, tokenizer, "to be", SETTINGS)
    assert written.account.tokens == 0
    assert "".join(written)
    account = written.account
    # bytes that continue nothing are many and as likely as any other token of a random model
    assert 0.1 < account.removed_mean < account.removed_largest < 1
    free = stream_text(model, tokenizer, "to be", with_changes(valid_utf8=False))
    assert "".join(free)
    assert (free.account.removed_mean, free.account.removed_largest) == (0, 0)


# Stop strings


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=3), max_size=3), st.integers(0, 99), st.data())
def test_the_text_ends_before_the_first_stop_string(
    stops: list[str], seed: int, data: st.DataObject
) -> None:
    tokenizer = TOKENIZERS["bpe"]
    model = model_for(tokenizer)
    whole = continue_text(model, tokenizer, "to", with_changes(seed=seed))
    place = data.draw(st.integers(0, max(0, len(whole) - 3)))
    stops += [whole[place : place + 3] or "a"]
    written = stream_text(model, tokenizer, "to", with_changes(seed=seed, stop=stops))
    text = "".join(written)
    assert text == oracle.before_stop(whole, tuple(stops))
    assert (written.account.ending == "stop") == (text != whole)


def test_nothing_is_drawn_behind_a_stop_string() -> None:
    tokenizer = TOKENIZERS["bpe"]
    model = model_for(tokenizer)
    whole = tokens_of(model, tokenizer, tokenizer.encode("to"), SETTINGS)
    stop = tokenizer.decode(whole)[9]
    written = stream_text(model, tokenizer, "to", with_changes(stop=[stop]))
    assert stop not in "".join(written)
    needed = next(n for n in range(99) if stop in tokenizer.decode(whole[:n]))
    assert written.account.tokens == needed


# Several texts at once


def test_texts_written_together_are_those_written_alone(model: GPT, tokenizer: Tokenizer) -> None:
    prompts: list[Prompt] = ["to be", "", "été 漢字 and very much more than a context", [0, 5]]
    whole = continue_text(model, tokenizer, "", with_changes(seed=3))
    assert len(whole) > 9
    chosen = [
        SETTINGS,
        with_changes(seed=3, stop=[whole[7:9]]),
        with_changes(temperature=0.3, min_p=0.05, repetition_penalty=1.3, max_tokens=100),
        with_changes(max_tokens=5),
    ]
    together = continue_texts(model, tokenizer, prompts, chosen)
    for prompt, sampling, found in zip(prompts, chosen, together, strict=True):
        alone = stream_text(model, tokenizer, prompt, sampling)
        assert found.text == "".join(alone)
        assert found.account.tokens == alone.account.tokens
        assert found.account.ending == alone.account.ending
        assert found.account.removed_mean == pytest.approx(alone.account.removed_mean, abs=1e-5)
    assert together[1].account.ending == "stop"
    assert together[2].account.window_cuts > 5
    assert together[2].account.window_mode == "half-window"
