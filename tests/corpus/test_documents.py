from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from variorum.base.errors import VariorumError
from variorum.corpus import documents
from variorum.corpus.documents import Document
from variorum.corpus.funnel import Example, FunnelStep

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.builds(Document, TEXTS, TEXTS, TEXTS, st.dictionaries(TEXTS, TEXTS))))
def test_what_is_written_is_read_again(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("documents") / "documents.jsonl"
    assert documents.write(path, iter(written)) == len(written)
    assert list(documents.read(path)) == written


def test_the_bytes_are_one_object_a_line_in_utf_8_with_sorted_keys(tmp_path: Path):
    path = tmp_path / "documents.jsonl"
    documents.write(path, [Document("1", "g", "é\u2028\n", {"b": 1, "a": None})])
    expected = '{"group": "g", "id": "1", "meta": {"a": null, "b": 1}, "text": "é\u2028\\n"}\n'
    assert path.read_bytes() == expected.encode()


def test_a_lone_surrogate_survives_as_an_escape(tmp_path: Path):
    path = tmp_path / "documents.jsonl"
    written = Document("1", "g", "half \ud83d of a pair")
    documents.write(path, [written])
    assert b"\\ud83d" in path.read_bytes()
    assert list(documents.read(path)) == [written]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "Expecting property name"),
        (b"[]", "no JSON object"),
        (b"\xff", "codec can't decode"),
        (b'{"id": "1", "group": "g", "text": "t"}', "missing or unknown: meta"),
        (b'{"id": 1, "group": "g", "text": "t", "meta": {}}', "must be strings"),
        (b'{"id": "1", "group": "g", "text": "t", "meta": []}', "meta must be an object"),
    ],
)
def test_a_bad_line_is_named_with_its_file_and_number(tmp_path: Path, line: bytes, reason: str):
    path = tmp_path / "documents.jsonl"
    documents.write(path, [Document("1", "g", "t")])
    with path.open("ab") as file:
        file.write(line + b"\n")
    reader = documents.read(path)
    assert next(reader).id == "1"
    with pytest.raises(VariorumError, match=rf"documents\.jsonl, line 2: .*{reason}"):
        next(reader)


def test_documents_are_streamed(tmp_path: Path):
    path = tmp_path / "documents.jsonl"
    path.write_bytes(b'{"id": "1", "group": "g", "text": "t", "meta": {}}\nbroken')
    assert next(documents.read(path)).text == "t"


def test_examples_of_a_step_can_be_written_whatever_was_dropped():
    step = FunnelStep("x", "y")
    step.drop("id \ud800", "text \udcff é", "reason \udbff")
    (example,) = step.examples
    assert example == Example("id \\ud800", "text \\udcff é", "reason \\udbff")
