import pytest
from hypothesis import given
from hypothesis import strategies as st

from variorum.base.errors import VariorumError
from variorum.corpus.utf8_text import decode


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_utf_8_is_decoded_and_its_byte_order_mark_dropped(text):
    assert decode(text.encode(), "a.txt") == text.removeprefix("\ufeff")
    assert decode(b"\xef\xbb\xbf" + text.encode(), "a.txt") == text


@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_other_encodings_are_refused_with_the_offset_in_the_file(bom):
    data = f"{bom}one\ntwo ".encode() + "é".encode("latin-1") + b" three"
    offset = data.index(b"\xe9")
    with pytest.raises(VariorumError, match=rf"a\.txt .*byte {offset} \(line 2\) is 0xe9.*iconv"):
        decode(data, "a.txt")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_named(encoding):
    with pytest.raises(VariorumError, match=r"UTF-16.*UTF-8"):
        decode("Some text".encode(encoding), "a.txt")


@pytest.mark.parametrize("data", [b"GIF89a\x00\x01", b"\x01\x02\x03 text"])
def test_binary_data_is_refused(data):
    with pytest.raises(VariorumError, match=r"a\.bin is no text"):
        decode(data, "a.bin")


def test_a_stray_control_character_is_text():
    assert decode(b"page\x0c\x1b[1m" + b"x" * 200 + b"\x07", "a.txt").endswith("\x07")
