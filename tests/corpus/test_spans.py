"""Spans of a file, read one by one, give its documents; a long text comes in parts."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from variorum.base.errors import VariorumError
from variorum.corpus import documents
from variorum.corpus.documents import Document
from variorum.corpus.spans import spans
from variorum.tokenizer.pretokens import split

SIGNS = "ab's19 .\\\"\t\n\r\u00a0\u3000é漢😀\u0301\0"
TEXTS = st.text(SIGNS + "  \n\nab", max_size=400) | st.text(
    st.characters(exclude_categories=["Cs"])
)
META = st.dictionaries(st.sampled_from(["text", "a"]), TEXTS, max_size=2)
DOCUMENTS = st.lists(st.builds(Document, TEXTS, TEXTS, TEXTS, META), max_size=4)


def read(path: Path, size: int) -> list[list[Document]]:
    """The parts of each document."""
    found: list[list[Document]] = []
    ended = True
    for span in spans(path, size):
        for document in span.read():
            if ended:
                found.append([])
            found[-1].append(document)
            ended = True
        ended = span.is_last
    return found


@given(DOCUMENTS, st.integers(2, 600), st.booleans())
def test_parts_joined_are_the_documents(
    tmp_path_factory: pytest.TempPathFactory, written: list[Document], size: int, is_cut: bool
) -> None:
    path = tmp_path_factory.mktemp("spans") / "documents.jsonl"
    documents.write(path, written)
    if is_cut:  # a last line without its end
        path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    found = read(path, size)
    assert ["".join(part.text for part in parts) for parts in found] == [d.text for d in written]
    for parts, document in zip(found, written, strict=True):
        assert all(replace(part, text=document.text) == document for part in parts)
        # Cut where pretokens begin
        assert [piece for part in parts for piece in split(part.text)] == split(document.text)


def test_a_long_text_comes_in_parts_of_about_the_size(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    documents.write(path, [Document("1", "g", 'Some "words", and\na line. ' * 1000)])
    sizes = [span.size for span in spans(path, 1000)]
    assert len(sizes) > 20
    assert max(sizes) <= 1000


def test_a_line_in_another_order_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    text = "a b " * 100
    path.write_text(f'{{"text": "{text}", "id": "1", "group": "g", "meta": {{}}}}\n')
    assert read(path, 50) == [[Document("1", "g", text)]]


@pytest.mark.parametrize("size", [20, 60, 1000])
def test_a_bad_line_is_named_with_its_file_and_number(tmp_path: Path, size: int) -> None:
    path = tmp_path / "documents.jsonl"
    documents.write(path, [Document("1", "g", "a text " * 9), Document("2", "g", "t")])
    with path.open("ab") as file:
        file.write(b'{"group": "g", "id": "3", "meta": {}, "text": "a \\x' + b" bc" * 50 + b'"}\n')
    with pytest.raises(VariorumError, match=r"documents\.jsonl, line 3: "):
        read(path, size)
