"""Stop strings: the text ends before the first, wherever its pieces were cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles import sampling as oracle
from variorum.generation.stops import StopStrings

FEW = st.text(alphabet="ab\n", max_size=30)
STOPS = st.lists(st.text(alphabet="ab\n", min_size=1, max_size=5), max_size=3).map(tuple)


def fed(pieces: list[str], stops: tuple[str, ...]) -> tuple[list[str], StopStrings]:
    found = StopStrings(stops)
    given_out = [found.feed(piece) for piece in pieces]
    return [*given_out, found.finish()], found


@given(st.lists(FEW, max_size=8), STOPS)
def test_the_text_ends_before_the_first_stop_string(
    pieces: list[str], stops: tuple[str, ...]
) -> None:
    text = "".join(pieces)
    given_out, found = fed(pieces, stops)
    assert "".join(given_out) == oracle.before_stop(text, stops)
    assert found.found == any(stop in text for stop in stops)


@given(st.lists(FEW, max_size=8), STOPS)
def test_only_what_could_still_become_one_is_held_back(
    pieces: list[str], stops: tuple[str, ...]
) -> None:
    found, so_far, given_out = StopStrings(stops), "", ""
    for piece in pieces:
        so_far += piece
        given_out += found.feed(piece)
        if found.found:
            return
        assert given_out + oracle.could_begin(so_far, stops) == so_far


def test_of_two_that_end_together_the_longer_one_counts() -> None:
    assert fed(["the end"], ("end", "the end"))[0] == ["", ""]
    assert fed(["abcd"], ("abcd", "c"))[0] == ["ab", ""]


def test_nothing_is_given_behind_a_stop_string() -> None:
    found = StopStrings(("end",))
    assert [found.feed(piece) for piece in ("an e", "nd, a", " more")] == ["an ", "", ""]
    assert found.finish() == ""


@pytest.mark.parametrize("text", ["", "a", "any text\n"])
def test_without_stop_strings_everything_is_given_at_once(text: str) -> None:
    assert fed([text], ())[0] == [text, ""]
