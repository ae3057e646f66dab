"""Pretokens equal the matches of GPT-2's pattern, for every character there is."""

import re
import sys
import time
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from oracles import bpe as oracle
from variorum.corpus.unicode14 import LETTERS, NUMBERS, UNASSIGNED
from variorum.tokenizer import pretokens
from variorum.tokenizer.pretokens import split, split_by_chunks

DOCS = Path(__file__).parents[2] / "docs"
SECONDS = 20  # generous for a busy machine; quadratic time would take many minutes
# Planes 4 to 13 have no characters and 15 and 16 only private ones: a sample of them is enough.
EVERY_CHARACTER = "".join(
    chr(code)
    for code in range(sys.maxunicode + 1)
    if code < 0x40000 or 0xE0000 <= code < 0xF0000 or code % 251 == 0
)
SIGNS = "ab'strevmld19²Ⅷ .,!-_\t\n\r\x1c\x85\u00a0\u3000éß漢字ً😀𝐀𝟘\u0301\ud800"


def peer_split(text: str) -> list[str]:
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    return [text[start:end] for _, (start, end) in pieces]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("Hello world", ["Hello", " world"]),
        ("we'll've don't 'twas", ["we", "'ll", "'ve", " don", "'t", " '", "twas"]),
        ("IT'S", ["IT", "'", "S"]),
        ("a1b22", ["a", "1", "b", "22"]),
        ("x² = ½", ["x", "²", " =", " ½"]),
        ("a  b   \n\n c ", ["a", " ", " b", "   \n\n", " c", " "]),
        ("a\nb\n\nc", ["a", "\n", "b", "\n", "\n", "c"]),
        ("a\u00a0b", ["a", "\u00a0", "b"]),
        ("...!? 😀", ["...!?", " 😀"]),
        ("a\x1cb", ["a", "\x1c", "b"]),
        ("\x1c!", ["\x1c!"]),
        ("e\u0301e", ["e", "\u0301", "e"]),
    ],
)
def test_the_pieces_equal_gpt2s(text: str, pieces: list[str]) -> None:
    assert split(text) == pieces


def test_every_character_is_split_as_its_class_demands() -> None:
    letters = set(re.findall(f"[{LETTERS}]", EVERY_CHARACTER))
    numbers = set(re.findall(f"[{NUMBERS}]", EVERY_CHARACTER))
    expected: list[str] = []
    for character in EVERY_CHARACTER:
        if character in letters:
            expected += [f"a{character}", "1"]
        elif character in numbers or character == " ":
            expected += ["a", f"{character}1"]
        else:
            expected += ["a", character, "1"]
    assert split("".join(f"a{character}1" for character in EVERY_CHARACTER)) == expected


def test_code_points_of_the_bmp_are_split_alike_with_and_without_an_emoji() -> None:
    text = "".join(f"a{chr(code)}1" for code in range(0x10000))
    assert split(text) == split(text + " 😀")[:-1]


def test_every_assigned_character_is_split_as_the_peer_does() -> None:
    # The peer may know a later Unicode, so only what was assigned in 14.0.0 is compared.
    private = r"\ud800-\uf8ff\U000f0000-\U0010ffff"
    assigned = re.findall(f"[^{UNASSIGNED}{private}]", EVERY_CHARACTER)
    assert len(assigned) > 140_000
    text = "".join(f"a{c}1{c}! {c}" for c in assigned)
    assert split(text) == peer_split(text)


@given(st.text(SIGNS) | st.text())
def test_any_text_is_split_as_the_slow_twin_does(text: str) -> None:
    assert split(text) == oracle.split(text)


@given(st.text(SIGNS) | st.text(" \na'.1"), st.integers(1, 6))
def test_a_long_text_is_split_by_chunks_as_at_once(text: str, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretokens, "_CHUNK", chunk)
        assert [piece for each in split_by_chunks(text) for piece in each] == split(text)


def test_a_long_text_comes_in_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretokens, "_CHUNK", 100)
    text = "Some words, and a line.\nThen some more. " * 500
    sizes = [sum(map(len, each)) for each in split_by_chunks(text)]
    assert max(sizes) < 120
    assert sum(sizes) == len(text)


def test_the_peer_cuts_only_letters_and_numbers_newer_than_unicode_14_otherwise() -> None:
    """Its tables are of a later version; the documentation says how many these are."""
    newer = re.findall(f"[{UNASSIGNED}]", EVERY_CHARACTER)
    text = "".join(f"a{character}1" for character in newer)
    ends = ({*accumulate(map(len, pieces))} for pieces in (split(text), peer_split(text)))
    different = {newer[end // 3] for end in set.symmetric_difference(*ends)}
    assert "\U00031350" in different
    for page in ("tokenizers.md", "model.md"):
        assert f"{len(different):,} letters and numbers" in (DOCS / page).read_text("utf-8")


@given(st.text(SIGNS.replace("\ud800", "")))
def test_any_text_is_split_as_the_peer_does(text: str) -> None:
    assert split(text) == peer_split(text)


@given(st.text(SIGNS) | st.text())
def test_the_pieces_joined_are_the_text(text: str) -> None:
    assert "".join(split(text)) == text


@pytest.mark.parametrize("sign", ["a", "1", "!", " ", "\n", "漢", "😀", "'"])
def test_a_long_run_of_one_sign_takes_linear_time(sign: str) -> None:
    start = time.process_time()
    assert "".join(split(sign * 300_000 + "x")) == sign * 300_000 + "x"
    assert time.process_time() - start < SECONDS
