"""Compressors as baselines: what a document adds to an archive is its cost."""

import bz2
import lzma
import os
import random
from pathlib import Path

import numpy as np
import pyppmd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import compressed
from variorum.base.errors import VariorumError
from variorum.evaluation import compressors
from variorum.evaluation.parts import Parts, one_part

WORDS = ["graph", "node", "edge", "path", "weight", "tree", "cycle", "flow", "cut", "degree"]
XZ = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 4096}]
ORDERS = (2, 3, 5, 8, 16)
LIMITS = [(100, 40), (1000, 1000), (1000, 10), (50, 1000)]

texts = st.lists(st.text("aab ", max_size=30).map(str.encode), max_size=4)


def documents(seed: int, n: int, n_words: int = 40) -> list[bytes]:
    draw = random.Random(seed)
    return [" ".join(draw.choice(WORDS) for _ in range(n_words)).encode() for _ in range(n)]


def each_apart(test: list[bytes]) -> Parts:
    """Every document is a part."""
    lengths = np.array([len(each) for each in test], dtype=np.int64)
    numbers = np.repeat(np.arange(len(test)), lengths + 1)
    return Parts("groups", tuple(map(str, range(len(test)))), numbers, lengths)


def cut_anywhere(test: list[bytes], seed: int) -> Parts:
    """Parts that begin and end inside documents."""
    n_symbols = sum(len(each) + 1 for each in test)
    numbers = np.sort(np.random.default_rng(seed).integers(0, 3, n_symbols))
    return Parts("blocks", ("a", "b", "c"), numbers, np.ones(3, dtype=np.int64))


def ppmd_length(order: int) -> object:
    def length(text: bytes) -> int:
        encoder = pyppmd.Ppmd7Encoder(order, compressors.PPMD_MEMORY)
        return len(encoder.encode(text)) + len(encoder.flush()) if text else len(encoder.flush())

    return length


@settings(max_examples=25, deadline=None)
@given(texts, texts, st.integers(2, 64), st.integers(0, 9), st.booleans())
def test_ppmd_costs_what_whole_archives_grow_by(
    train: list[bytes], test: list[bytes], order: int, seed: int, adaptive: bool
) -> None:
    for parts in (each_apart(test), cut_anywhere(test, seed)):
        found = compressors.ppmd_bits(train, test, parts, order, adaptive=adaptive)
        numbers = parts.of_symbols.tolist()
        slow = compressed.by_parts(ppmd_length(order), train, test, numbers, adaptive=adaptive)
        assert found[: len(slow)].tolist() == slow


@settings(max_examples=20, deadline=None)
@given(texts, texts, st.integers(0, 9))
def test_bz2_and_xz_cost_what_whole_archives_grow_by(
    train: list[bytes], test: list[bytes], seed: int
) -> None:
    for parts in (each_apart(test), cut_anywhere(test, seed)):
        numbers = parts.of_symbols.tolist()
        slow = compressed.by_parts(
            lambda text: len(bz2.compress(text)), train, test, numbers, adaptive=True
        )
        assert compressors.bz2_bits(train, test, parts)[: len(slow)].tolist() == slow
        slow = compressed.by_parts(
            lambda text: len(lzma.compress(text, filters=XZ)),
            train,
            test,
            numbers,
            adaptive=True,
        )
        assert compressors.xz_bits(train, test, parts)[: len(slow)].tolist() == slow


def test_ppmd_is_7_zips() -> None:
    """The archive of the library's own whole function adds the same bytes."""
    train, test = documents(1, 30), documents(2, 5)
    found = compressors.ppmd_bits(train, test, one_part(test), 8, adaptive=True).sum()
    whole, known = b"\n\n".join(train + test), b"\n\n".join(train)
    sizes = [len(pyppmd.compress(each, max_order=8, variant="H")) for each in (whole, known)]
    assert abs(found - 8 * (sizes[0] - sizes[1])) <= 8


def test_who_adapts_pays_less_for_what_comes_again() -> None:
    secret = random.Random(4).randbytes(300).hex().encode()
    train, test = documents(1, 10), [secret, secret]
    parts = each_apart(test)
    first, again = compressors.ppmd_bits(train, test, parts, 8, adaptive=True)
    assert again < first / 10
    alone, alone_too = compressors.ppmd_bits(train, test, parts, 8, adaptive=False)
    assert alone == alone_too >= first - 8


@pytest.mark.parametrize("adaptive", [True, False])
def test_the_best_order_is_what_val_needs_fewest_bits_by(adaptive: bool) -> None:
    train, val = documents(1, 40), documents(2, 5)
    best = compressors.best_order(train, val, ORDERS, adaptive=adaptive)
    costs = {
        order: compressors.ppmd_bits(train, val, one_part(val), order, adaptive=adaptive).sum()
        for order in ORDERS
    }
    assert costs[best] == min(costs.values()) < costs[2]


def test_of_many_documents_some_choose_the_static_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressors, "MOST_TRIED", 3)
    train, val = documents(1, 10), documents(2, 8)
    few = [val[0], val[3], val[6]]
    assert compressors.best_order(train, val, ORDERS, adaptive=False) == compressors.best_order(
        train, few, ORDERS, adaptive=False
    )


@pytest.mark.parametrize("order", [1, 65])
def test_an_order_that_ppmd_lacks_is_refused(order: int) -> None:
    with pytest.raises(VariorumError, match=f"PPMd of order {order}; give 2 to 64"):
        compressors.ppmd_bits([], [], one_part([]), order, adaptive=True)


@pytest.mark.parametrize(("known", "new"), LIMITS)
def test_no_archive_of_bz2_holds_more_than_a_block(known: int, new: int) -> None:
    before, text = random.Random(1).randbytes(known), random.Random(2).randbytes(new)
    cut = [(place % 3, text[place : place + 7]) for place in range(0, new, 7)]
    blocks = list(compressors._blocks(before, cut, 100))
    pieces = [(behind, b"".join(each for _, each in block)) for behind, block in blocks]
    assert b"".join(piece for _, piece in pieces) == text
    owners = [part for _, block in blocks for part, each in block for _ in each]
    assert owners == [part for part, each in cut for _ in each]
    for at, (behind, piece) in enumerate(pieces):
        assert len(behind) + len(piece) <= 100
        assert len(piece) <= 50
        said = before + text[: 50 * at]
        assert said.endswith(behind)
        assert len(behind) == min(len(said), 100 - len(piece)), "as much as fits is known"


def test_a_block_of_bz2_is_as_long_as_we_think() -> None:
    """A text that repeats itself within a block is cheap, and beyond it is not."""
    half = random.Random(3).randbytes(compressors.BLOCK // 2)
    inside = len(bz2.compress(half + half)) - len(bz2.compress(half))
    assert inside < len(half) / 4
    between = random.Random(4).randbytes(compressors.BLOCK)
    beyond = len(bz2.compress(half + between + half)) - len(bz2.compress(half + between))
    assert beyond > len(half) / 2


def test_xz_remembers_as_far_back_as_its_dictionary() -> None:
    noise, secret = random.Random(3).randbytes(200_000), random.Random(4).randbytes(2000)

    def added(dictionary: int) -> int:
        whole, known = secret + noise + secret, secret + noise
        encoders = [(compressors._xz(dictionary), text) for text in (whole, known)]
        sizes = [len(encoder.compress(text) + encoder.flush()) for encoder, text in encoders]
        return sizes[0] - sizes[1]

    assert added(1 << 16) > 1900
    assert added(1 << 20) < 400
    assert compressors.xz_bits([secret, noise], [secret], one_part([secret])) < 8 * 400


def test_random_text_cannot_be_compressed_below_its_entropy() -> None:
    test = [random.Random(5).randbytes(5000).hex().encode()]
    train = documents(1, 5)
    parts = one_part(test)
    costs = [compressors.bz2_bits(train, test, parts), compressors.xz_bits(train, test, parts)]
    costs.append(compressors.ppmd_bits(train, test, parts, 6, adaptive=True))
    assert all(cost.sum() > 4 * len(test[0]) for cost in costs)


def test_a_compressor_that_ends_without_an_answer_is_an_error_and_ends_alone(
    tmp_path: Path,
) -> None:
    def fails() -> bytes:
        (tmp_path / str(os.getpid())).touch()
        raise MemoryError

    archive = compressors._Archive(lambda text: text, fails)
    with pytest.raises(VariorumError, match="a compressor ended without an answer"):
        archive.length(b"text")
    [ended] = tmp_path.iterdir()
    assert ended.name != str(os.getpid()), "the copy failed, and nothing behind it ran twice"
