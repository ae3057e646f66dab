"""The parts of a test text: everyone who predicts it pays by the same ones."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from variorum.corpus.documents import Document
from variorum.evaluation.intervals import of_parts
from variorum.evaluation.parts import BLOCKS, LEAST_GROUPS, parts_of, read, symbols_of, write
from variorum.tokenizer.kinds.characters import CharacterTokenizer

texts = st.lists(
    st.tuples(st.integers(0, 15), st.text("aé🙂", max_size=30)), min_size=1, max_size=40
)


def documents(found: list[tuple[int, str]]) -> list[Document]:
    return [Document(str(n), str(group), text) for n, (group, text) in enumerate(found)]


@given(texts)
def test_every_byte_and_every_end_is_in_one_part(found: list[tuple[int, str]]) -> None:
    test = documents(found)
    parts = parts_of(test)
    data = [each.text.encode() for each in test]
    assert len(parts.of_symbols) == sum(len(each) + 1 for each in data)
    assert parts.n_bytes.sum() == sum(map(len, data))
    assert (np.bincount(parts.of_symbols, minlength=len(parts.names)) > 0).all()
    groups = list(dict.fromkeys(each.group for each in test))
    if len(groups) >= LEAST_GROUPS:
        assert (parts.drawn, list(parts.names)) == ("groups", groups)
        for place, group in enumerate(groups):
            own = sum(len(d) for d, each in zip(data, test, strict=True) if each.group == group)
            assert parts.n_bytes[place] == own
    else:
        assert parts.drawn == "blocks"
        assert len(parts.names) == min(BLOCKS, len(parts.of_symbols))
        sizes = np.bincount(parts.of_symbols)
        assert sizes.max() - sizes.min() <= 1
        assert (np.diff(parts.of_symbols) >= 0).all()


@given(texts)
def test_pieces_are_the_text_cut_by_parts(found: list[tuple[int, str]]) -> None:
    test = documents(found)
    parts, data = parts_of(test), [each.text.encode() for each in test]
    cut = list(parts.pieces(data))
    assert [b"".join(piece for _, piece in pieces) for pieces in cut] == data
    n_bytes = np.zeros(len(parts.names))
    for pieces in cut:
        for part, piece in pieces:
            n_bytes[part] += len(piece)
    assert n_bytes.tolist() == parts.n_bytes.tolist()


def test_a_token_pays_where_it_begins() -> None:
    test = [Document("0", "g", "aé" * 20), Document("1", "g", "éé")]
    tokenizer = CharacterTokenizer("aé")
    tokens = np.array(
        [t for each in test for t in (*tokenizer.encode(each.text), tokenizer.eot)], dtype=np.int64
    )
    begins = symbols_of(tokenizer, tokens)
    stream = b"".join(each.text.encode() + b"\0" for each in test)
    assert begins[0] == 0
    for token, begin in zip(tokens.tolist(), begins.tolist(), strict=True):
        own = b"\0" if token == tokenizer.eot else tokenizer.token_bytes(token)
        assert stream[begin : begin + len(own)] == own
    parts = parts_of(test)
    assert parts.sums(begins, np.ones(len(tokens))).sum() == len(tokens)


def test_what_is_written_is_read_to_the_bit(tmp_path: Path) -> None:
    test = documents([(n % 12, "ab" * n) for n in range(1, 30)])
    parts = parts_of(test)
    costs = np.random.default_rng(1).random(len(parts.names))
    write(tmp_path / "parts.csv", parts, {"static": costs, "other": 3 * costs})
    n_bytes, columns = read(tmp_path / "parts.csv")
    assert n_bytes.tolist() == parts.n_bytes.tolist()
    assert {name: each.tolist() for name, each in columns.items()} == {
        "static": costs.tolist(),
        "other": (3 * costs).tolist(),
    }


def test_groups_take_no_more_memory_than_their_names_and_numbers(tmp_path: Path) -> None:
    """In all that `evaluate` and `comparisons` do with them, one very long name included."""
    count, longest = 30_000, 200_000
    test = [Document(str(n), f"author {n}", "word") for n in range(count)]
    test.append(Document("long", "g" * longest, "word"))
    tracemalloc.start()
    try:
        parts = parts_of(test)
        bits = parts.sums(np.arange(len(parts.of_symbols)), np.ones(len(parts.of_symbols)))
        write(tmp_path / "parts.csv", parts, {"static": bits})
        n_bytes, columns = read(tmp_path / "parts.csv")
        found = of_parts(columns["static"], n_bytes, parts.drawn)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is not None
    assert (found.count, found.value) == (count + 1, pytest.approx(5 / 4))
    assert peak < 1000 * count + 20 * longest


@pytest.mark.parametrize("count", [1, 9])
def test_a_text_of_few_groups_is_cut_into_blocks(count: int) -> None:
    test = documents([(n % count, "word " * 20) for n in range(count)])
    assert parts_of(test).drawn == "blocks"
    assert parts_of(documents([(n, "word") for n in range(10)])).drawn == "groups"
