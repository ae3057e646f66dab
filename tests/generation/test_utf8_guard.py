"""The automaton that keeps a text valid UTF-8, compared with Python's codec."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import utf8 as oracle
from variorum.base.errors import VariorumError
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.generation.utf8_guard import INVALID, NEVER, START, Utf8Guard, guard_of
from variorum.tokenizer.base import Tokenizer
from variorum.tokenizer.kinds import bpe, characters
from variorum.tokenizer.streaming import unfinished

SCRIPTS = "to be été Привет 漢字かな שלום 👍🏽🇺🇳🫠 \u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"
# A beginning of a character for each state but `START`, and others for those that have several.
BEGINNINGS = (
    *(b"\xc2", b"\xdf", b"\xe1\x80", b"\xed\x9f", b"\xf4\x8f\xbf"),
    *(b"\xe1", b"\xec", b"\xef", b"\xf0\x90", b"\xf4\x8f", b"\xf1", b"\xf3"),
    *(b"\xe0", b"\xed", b"\xf0", b"\xf4"),
)

LEADS = (b"a", b"\x80", b"\xa0", b"\xc3", b"\xe0", b"\xed", b"\xed\xa0", b"\xf0\x90", b"\xf4\x90")


class Spelled(Tokenizer):
    """A vocabulary of any spellings: they are all that a guard may look at."""

    def __init__(self, spellings: Iterable[bytes]) -> None:
        super().__init__(spellings)

    def encode(self, text: str) -> list[int]:
        """A guard that encodes is a fault."""
        pytest.fail("a guard is made of spellings alone, and this one encoded a text")

    def document(self) -> dict[str, Any]:
        """A guard that reads the file is a fault."""
        pytest.fail("a guard is made of spellings alone, and this one read the document")


TOKENIZERS = {
    "bpe": bpe.train([SCRIPTS * 3], TokenizerSettings(vocab_size=320)),
    "characters": characters.train([SCRIPTS], TokenizerSettings(kind="characters")),
}


def spellings_of(tokenizer: Tokenizer) -> list[bytes]:
    return [tokenizer.token_bytes(token) for token in range(tokenizer.eot)]


def test_every_character_there_is_leads_to_its_states() -> None:
    guard = guard_of(TOKENIZERS["bpe"])
    singles = {guard_byte: token for token, guard_byte in enumerate(bpe.BYTE_OF_ID)}
    after = guard.after[:, [singles[byte] for byte in range(256)]]
    assert len(oracle.followers()) == 17652
    for begun, following in oracle.followers().items():
        state = guard.state_of(begun)
        assert set(np.flatnonzero(after[state] != INVALID)) == following, begun
        whole = {byte for byte in following if begun + bytes([byte]) in oracle.characters()}
        assert set(np.flatnonzero(after[state] == START)) == whole, begun


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_every_token_leads_from_every_state_where_the_codec_says(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    guard = Utf8Guard(tokenizer)
    assert {guard.state_of(begun) for begun in (b"", *BEGINNINGS)} == set(range(INVALID))
    for begun in (b"", *BEGINNINGS):
        state = guard.state_of(begun)
        for token, spelling in enumerate(spellings_of(tokenizer)):
            behind = oracle.behind(begun, spelling)
            expected = INVALID if behind is None else guard.state_of(behind)
            assert guard.next_state(state, token) == expected, (begun, spelling)
            assert bool(guard.allowed(state, 1000)[token]) == (behind is not None)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_end_of_a_document_stands_only_between_characters(kind: str) -> None:
    guard, eot = guard_of(TOKENIZERS[kind]), TOKENIZERS[kind].eot
    assert guard.next_state(START, eot) == START
    assert guard.allowed(START, 1)[eot]
    for state in range(START + 1, INVALID):
        assert not guard.allowed(state, 1000)[eot]


@settings(deadline=None, max_examples=60)
@given(st.sets(st.binary(min_size=1, max_size=5), max_size=12), st.sampled_from([b"", *BEGINNINGS]))
def test_any_vocabulary_costs_what_trying_all_tokens_says(
    spellings: set[bytes], begun: bytes
) -> None:
    tokens = sorted(spellings) + [bytes([value]) for value in (0x41, 0x80, 0x9F, 0xBF, 0xC3, 0xE2)]
    guard = Utf8Guard(Spelled(tokens))
    state = guard.state_of(begun)
    for token, spelling in enumerate(tokens):
        behind = oracle.behind(begun, spelling)
        needed = None if behind is None else oracle.tokens_needed(behind, tokens)
        assert int(guard.cost[state, token]) == (NEVER if needed is None else needed)
        for left in range(1, 6):
            fits = needed is not None and needed < left
            assert bool(guard.allowed(state, left)[token]) == fits, (begun, spelling, left)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_way_on_is_always_left(kind: str) -> None:
    """From every state that can be reached, with every number of tokens left."""
    guard = guard_of(TOKENIZERS[kind])
    reached = {(START, left) for left in range(1, 7)}
    waiting = list(reached)
    while waiting:
        state, left = waiting.pop()
        allowed = guard.allowed(state, left)
        assert allowed.any()
        behind = set(guard.after[state][allowed].tolist())
        assert left > 1 or behind == {START}, "the last token ends its character"
        new = {(after, left - 1) for after in behind if left > 1} - reached
        reached |= new
        waiting += new


def test_no_character_is_begun_that_could_not_be_finished() -> None:
    guard = Utf8Guard(Spelled(bytes([value]) for value in range(256)))
    for left, most in enumerate((0x7F, 0xDF, 0xEF, 0xF4, 0xF4), start=1):
        allowed = guard.allowed(START, left)[:256].nonzero()[0]
        assert int(allowed.max()) == most


def test_a_token_that_finishes_a_character_at_once_makes_room_for_it() -> None:
    guard = Utf8Guard(Spelled([b"\xe6", b"\xbc\xa2", b"a"]))
    assert guard.allowed(START, 2)[0]
    assert not guard.allowed(START, 1)[0]


def test_what_can_never_be_finished_is_never_begun() -> None:
    guard = Utf8Guard(Spelled([b"\xe6", b"a", b"a\xf0"]))
    assert guard.allowed(START, 1000).tolist() == [False, True, False, True]


def test_a_prompt_that_the_length_cannot_finish_is_an_error() -> None:
    guard = guard_of(TOKENIZERS["characters"])
    guard.check_end(guard.state_of(b"\xf0"), 3)
    with pytest.raises(VariorumError, match=r"max_tokens: 2: .* 3 more tokens finish it"):
        guard.check_end(guard.state_of(b"\xf0"), 2)


@settings(deadline=None)
@given(st.binary(max_size=12) | st.lists(st.sampled_from(LEADS), max_size=6).map(b"".join))
def test_what_a_text_leaves_unfinished_is_a_beginning_or_nothing(data: bytes) -> None:
    tokenizer = Spelled(bytes([value]) for value in range(256))
    begun = unfinished(tokenizer, list(data))
    ends = [data[-n:] for n in (3, 2, 1) if data[-n:] in oracle.followers()]
    assert begun == (ends[0] if ends else b"")
    assert unfinished(tokenizer, [*data, tokenizer.eot]) == b""


def test_a_large_vocabulary_takes_the_same_states() -> None:
    spellings = [bytes([value]) for value in range(256)]
    spellings += [f"{number}漢👍".encode()[number % 5 :] for number in range(50000)]
    guard = Utf8Guard(Spelled(spellings))
    picked = torch.randint(len(spellings), (300,), generator=torch.Generator().manual_seed(1))
    for begun in (b"", *BEGINNINGS):
        state = guard.state_of(begun)
        for token in picked.tolist():
            behind = oracle.behind(begun, spellings[token])
            expected = INVALID if behind is None else guard.state_of(behind)
            assert guard.next_state(state, token) == expected
