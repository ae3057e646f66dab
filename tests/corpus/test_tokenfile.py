import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from variorum.base.errors import VariorumError
from variorum.corpus import tokenfile
from variorum.corpus.tokenfile import Encoded, TokenFile, dtype_for

DOCUMENTS = st.lists(
    st.tuples(st.text(), st.lists(st.integers(0, 65_534)), st.integers(0, 1000)), max_size=8
)
EOT = 65_535


def encoded(documents, dtype, eot):
    """Each document by itself, as a span of its own."""
    for identity, tokens, n_bytes in documents:
        row = (identity, len(tokens) + 1, n_bytes)
        yield Encoded(np.array([*tokens, eot], dtype), [row])


def write(folder, name, documents, dtype, *, eot):
    return tokenfile.write(folder, name, encoded(documents, dtype, eot))


@given(DOCUMENTS, st.sampled_from([65_536, 65_537]))
def test_what_is_written_is_read_again(tmp_path_factory, documents, vocab_size):
    folder = tmp_path_factory.mktemp("tokens")
    dtype = dtype_for(vocab_size)
    summary = write(folder, "val", iter(documents), dtype, eot=EOT)
    flat = [token for _, tokens, _ in documents for token in [*tokens, EOT]]
    assert (folder / "val.bin").read_bytes() == np.array(flat, dtype).tobytes()
    opened = TokenFile.open(folder, "val")
    assert summary.documents == len(opened) == len(documents)
    assert summary.tokens == len(opened.tokens) == len(flat)
    assert summary.n_bytes == opened.n_bytes.sum()
    assert list(opened.ids()) == [identity for identity, _, _ in documents]
    assert opened.n_bytes.tolist() == [n_bytes for _, _, n_bytes in documents]
    for number, (_, tokens, _) in enumerate(documents):
        assert opened.document(number).tolist() == tokens
        assert opened.tokens[opened.starts[number] + len(tokens)] == EOT


def test_nanogpt_and_numpy_read_the_files(tmp_path):
    documents = [("a", np.array([1, 2, 3]), 5), ("b", [258], 2)]
    write(tmp_path, "train", documents, dtype_for(1024), eot=0)
    assert (tmp_path / "train.bin").read_bytes() == bytes([1, 0, 2, 0, 3, 0, 0, 0, 2, 1, 0, 0])
    data = np.memmap(tmp_path / "train.bin", dtype=np.uint16, mode="r")
    assert data.tolist() == [1, 2, 3, 0, 258, 0]
    assert np.load(tmp_path / "train.idx.npy").tolist() == [[0, 4, 5], [4, 2, 2]]


def test_opened_tokens_are_mapped_and_read_only(tmp_path):
    write(tmp_path, "train", [("a", [1], 1)], dtype_for(100), eot=0)
    tokens = TokenFile.open(tmp_path, "train").tokens
    assert isinstance(tokens, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 5


def test_the_smaller_type_holds_65_536_tokens():
    assert dtype_for(65_536) == np.uint16
    assert dtype_for(65_537) == np.uint32


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "test", [("a", [1, 2], 2), ("b", [3], 1)], dtype_for(9), eot=0)
    return tmp_path


@pytest.mark.parametrize("name", ["test.bin", "test.idx.npy"])
@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data[:-2], lambda data: b""]
)
def test_files_of_wrong_size_are_refused(folder, name, change):
    file = folder / name
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(VariorumError, match=rf"{name} .*encode again"):
        TokenFile.open(folder, "test")


@pytest.mark.parametrize("name", ["test.bin", "test.idx.npy"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(VariorumError, match=f"{name} is missing"):
        TokenFile.open(folder, "test")


def test_documents_are_written_one_at_a_time(tmp_path):
    def documents():
        for number in range(200):
            yield str(number), [number] * 1000, 1000
        written.append((tmp_path / "train.bin").stat().st_size)

    written = []
    write(tmp_path, "train", documents(), dtype_for(1000), eot=999)
    assert written[0] > 300_000


def test_a_document_that_comes_in_parts_is_one(tmp_path):
    parts = [
        Encoded(np.array([7, 9, 1], "<u2"), [("a", 2, 5), ("b", 1, 3)], is_last=False),
        Encoded(np.array([2, 3], "<u2"), [("b", 2, 4)], is_last=False),
        Encoded(np.array([9, 9], "<u2"), [("b", 1, 0), ("c", 1, 0)]),
    ]
    summary = tokenfile.write(tmp_path, "train", parts)
    opened = TokenFile.open(tmp_path, "train")
    assert opened.tokens.tolist() == [7, 9, 1, 2, 3, 9, 9]
    assert list(zip(opened.ids(), opened.n_tokens, opened.n_bytes, strict=True)) == [
        ("a", 2, 5),
        ("b", 4, 7),
        ("c", 1, 0),
    ]
    assert summary == tokenfile.Summary(3, 7, 12)
