"""Text made fit to print."""

from hypothesis import given
from hypothesis import strategies as st

from variorum.evaluation.legible import legible, legible_bytes, token_label


def test_controls_become_escapes_and_letters_stay():
    assert legible("a\x07\x1b[2J\u200b\u202eb\né") == "a\\x07\\x1b[2J\\u200b\\u202eb\né"
    assert legible_bytes(b"ok \xff\xc3\xa9") == "ok \\xffé"
    assert token_label(b" the\n") == "␣the↵"
    assert token_label("é".encode()[:1]) == "\\xc3"


@given(st.text())
def test_legible_text_can_be_written_anywhere(text):
    shown = legible(text)
    shown.encode("utf-8")
    assert not any(ord(character) < 32 for character in shown if character != "\n")
    assert legible(shown) == shown


@given(st.binary())
def test_any_bytes_can_be_shown(data):
    legible_bytes(data).encode("utf-8")
    assert "\n" not in token_label(data)
    assert " " not in token_label(data)
