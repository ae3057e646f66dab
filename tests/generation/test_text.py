"""Text in, text out: pieces that join, and an end where the document ends."""

import pytest

from variorum.config import ModelSettings, SamplingSettings, TokenizerSettings
from variorum.errors import VariorumError
from variorum.generation.sampler import generate
from variorum.generation.text import continue_text, stream_text
from variorum.model.gpt import GPT
from variorum.tokenizer.base import Tokenizer
from variorum.tokenizer.kinds import bpe

SETTINGS = SamplingSettings(temperature=1.5, top_p=1.0, max_tokens=60, seed=2)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return bpe.train(["to be or not to be, été 漢字"], TokenizerSettings(vocab_size=264))


@pytest.fixture
def model(tokenizer: Tokenizer) -> GPT:
    chosen = ModelSettings(n_layer=1, n_head=2, n_embd=16, context_length=16)
    return GPT(chosen, tokenizer.vocab_size, seed=2).eval()


def test_the_pieces_join_to_the_decoded_tokens(model: GPT, tokenizer: Tokenizer) -> None:
    tokens = list(generate(model, tokenizer.encode("to be"), SETTINGS, stop=tokenizer.eot))
    pieces = list(stream_text(model, tokenizer, "to be", SETTINGS))
    assert "".join(pieces) == tokenizer.decode(tokens)
    assert continue_text(model, tokenizer, "to be", SETTINGS) == tokenizer.decode(tokens)
    assert all(pieces)
    assert len(pieces) > 5


def test_a_cache_changes_no_character(model: GPT, tokenizer: Tokenizer) -> None:
    cached = continue_text(model, tokenizer, "été", SETTINGS)
    assert cached == continue_text(model, tokenizer, "été", SETTINGS, use_cache=False)


def test_an_empty_prompt_begins_a_document(model: GPT, tokenizer: Tokenizer) -> None:
    tokens = list(generate(model, [tokenizer.eot], SETTINGS, stop=tokenizer.eot))
    assert continue_text(model, tokenizer, "", SETTINGS) == tokenizer.decode(tokens)


def test_the_text_ends_with_the_document(model: GPT, tokenizer: Tokenizer) -> None:
    settings = SETTINGS.model_copy(update={"seed": 1})
    tokens = list(generate(model, tokenizer.encode("to be"), settings))
    end = tokens.index(tokenizer.eot)
    assert tokenizer.decode(tokens[:end]) != tokenizer.decode(tokens)
    text = continue_text(model, tokenizer, "to be", settings)
    assert text == tokenizer.decode(tokens[:end])


def test_the_tokenizer_of_another_model_is_refused_at_once(tokenizer: Tokenizer) -> None:
    other = GPT(ModelSettings(n_layer=1, n_head=1, n_embd=4, context_length=4), 99)
    with pytest.raises(VariorumError, match="has 264 tokens and the model 99"):
        stream_text(other, tokenizer, "to be", SETTINGS)
