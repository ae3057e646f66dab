import bz2
import gzip
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from variorum.base.errors import VariorumError
from variorum.corpus.decoding import decode
from variorum.corpus.fetch_context import FetchContext
from variorum.corpus.sources import csv
from variorum.corpus.sources.csv import CsvSource


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


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf_16_and_utf_32_are_named(encoding, mark):
    name = encoding.upper()[:6] if mark else "UTF-16 or UTF-32"
    with pytest.raises(VariorumError, match=rf"is {name}\W.*UTF-8") as caught:
        decode(f"{mark}Some text".encode(encoding), "a.txt")
    assert not mark or f"`iconv -f {name} -t UTF-8`" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(b"some text", mtime=0), "compressed by gzip"),
        (bz2.compress(b"some text"), "compressed by bzip2"),
        (lzma.compress(b"some text"), "compressed by xz"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
        (b"PK\x03\x04\x14\x00", r"a zip archive .*\.docx"),
        (b"{\\rtf1\\ansi text}", r"a document in rich text \(RTF\)"),
        (b"SQLite format 3\x00", "an SQLite database"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
    ],
)
def test_other_formats_are_named_for_a_text_and_for_a_table(tmp_path, data, message):
    with pytest.raises(VariorumError, match=rf"a\.txt is {message}.*no plain text; \w+"):
        decode(data, "a.txt")
    for name in ("a.csv", "a.tsv", "a.jsonl"):
        (tmp_path / name).write_bytes(data)
        for encoding in (None, "cp1252"):
            source = CsvSource(path=name, text="a", encoding=encoding)
            context = FetchContext(tmp_path, tmp_path, (), lambda line: None)
            with pytest.raises(VariorumError, match=rf"{name} is {message}.*no plain text"):
                list(csv.fetch(source, context))


def test_a_text_in_another_encoding_shows_how_it_reads():
    with pytest.raises(VariorumError, match="'Ma grand-mère disait' in cp1252"):
        decode("Ma grand-mère disait".encode("cp1252"), "a.txt")


@pytest.mark.parametrize("data", [b"GIF89a\x00\x01", b"\x01\x02\x03 text"])
def test_binary_data_is_refused(data):
    with pytest.raises(VariorumError, match=r"a\.bin is no text"):
        decode(data, "a.bin")


def test_a_stray_control_character_is_text():
    assert decode(b"page\x0c\x1b[1m" + b"x" * 200 + b"\x07", "a.txt").endswith("\x07")
