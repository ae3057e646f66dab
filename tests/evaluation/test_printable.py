"""Text made fit to print."""

from hypothesis import given
from hypothesis import strategies as st

from variorum.evaluation.printable import for_terminal, legible, legible_bytes, token_label


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


def test_a_terminal_gets_tabs_and_joiners_as_they_are_and_nothing_else_that_acts():
    assert for_terminal("a\tb\x1b[2J\u200cc\u200dd\u200be\r\n") == (
        "a\tb\\x1b[2J\u200cc\u200dd\\u200be\\x0d\n"
    )


@given(st.text())
def test_what_a_terminal_gets_is_legible_but_for_those(text):
    shown = for_terminal(text)
    for character in "\t\u200c\u200d":
        shown = shown.replace(character, legible(character))
    assert shown == legible(text)
