"""What the cases of the stress catalogue measure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stressed import SETTINGS, TOKENIZER, subject_of

from variorum.evaluation.stress.behaviour.noise import noised, read_again
from variorum.evaluation.stress.catalogue import samples
from variorum.evaluation.stress.writing import Writing, bad_bytes, equal_tokens
from variorum.evaluation.verdicts import judge

TOKENS = st.lists(st.integers(0, TOKENIZER.eot), max_size=8)


pytest_plugins = ("stressed_fixtures",)


@given(st.text(), st.integers(0, 2**63 - 1))
def test_no_noise_changes_nothing_and_much_of_it_brings_no_new_characters(text, seed):
    assert noised(text, 0.0, seed) == text
    noisy = noised(text, 1.0, seed)
    assert set(noisy) <= set(text)
    assert len(noisy) <= len(text)
    assert noised(text, 1.0, seed) == noisy


def test_noise_hits_the_share_that_was_asked_for():
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000)))
    noisy = noised(text, 0.1, 1)
    gone = len(set(text) - set(noisy))
    assert gone / len(text) == pytest.approx(2 / 3 * 0.1, rel=0.1)  # replaced, or left out
    assert len(text) - len(noisy) == pytest.approx(1 / 3 * 2000, rel=0.1)
    assert noised(text, 0.1, 2) != noisy
    assert noised(text, 0.1, 1, number=1) != noisy


def test_noise_keeps_the_ends_of_documents(sound):
    tokens = np.array([TOKENIZER.eot, *TOKENIZER.encode("ab"), TOKENIZER.eot, TOKENIZER.eot])
    read = read_again(subject_of(sound), tokens, 0.0, 0)
    assert read == tokens.tolist()
    assert read_again(subject_of(sound), tokens, 1.0, 0).count(TOKENIZER.eot) == 3


def wrote(tokens, prompt=()):
    return Writing(list(prompt), tokens, SETTINGS.sampling)


@given(TOKENS, TOKENS)
def test_equal_tokens_are_the_common_beginning(one, other):
    ends = range(min(len(one), len(other)) + 1)
    common = max(end for end in ends if one[:end] == other[:end])
    assert equal_tokens(wrote(one), wrote(other)) == common


@given(TOKENS)
def test_there_are_bad_bytes_just_where_python_cannot_decode(tokens):
    data = b"".join(TOKENIZER.token_bytes(token) or b"\0" for token in tokens)
    try:
        data.decode()
    except UnicodeDecodeError:
        assert bad_bytes(TOKENIZER, wrote(tokens)) > 0
    else:
        assert bad_bytes(TOKENIZER, wrote(tokens)) == 0


@given(st.text(st.characters(min_codepoint=128, exclude_categories=["Cs"]), min_size=1), st.data())
def test_a_character_that_the_prompt_began_is_whole_with_what_follows(text, data):
    ids = TOKENIZER.encode(text)
    cut = data.draw(st.integers(0, len(ids)))
    assert bad_bytes(TOKENIZER, wrote(ids[cut:], ids[:cut])) == 0


def test_samples_follow_the_prompts(sound):
    found = samples(subject_of(sound))
    assert [sample["prompt"] for sample in found] == ["The ", ""]
    assert all(sample["text"] for sample in found)
    assert found == samples(subject_of(sound))


def test_samples_have_their_own_length(sound):
    written = samples(subject_of(sound))[0]["text"]
    assert len(TOKENIZER.encode(written)) <= SETTINGS.sampling.max_tokens


@pytest.mark.parametrize(
    ("measured", "comparison", "passed"),
    [
        (1.0, "<=", True),
        (1.1, "<=", False),
        (1.0, ">=", True),
        (0.9, ">=", False),
        (None, "<=", False),
        (float("nan"), "<=", False),
        (float("-inf"), "<=", False),
        (float("inf"), ">=", False),
    ],
)
def test_verdicts_can_fail(measured, comparison, passed):
    case = judge(
        "n", "t", "q?", measured=measured, threshold=1.0, comparison=comparison, explanation="e"
    )
    assert case.passed is passed
    assert case.measured is None or abs(case.measured) < float("inf")
