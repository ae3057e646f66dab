"""Compressors as baselines: what a document adds to an archive is its cost."""

import bz2
import lzma
import random

import pyppmd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import compressed
from variorum.base.errors import VariorumError
from variorum.evaluation import compressors

WORDS = ["graph", "node", "edge", "path", "weight", "tree", "cycle", "flow", "cut", "degree"]
LIMITS = [(100, 40), (1000, 1000), (1000, 10), (50, 1000)]

texts = st.lists(st.text("aab ", max_size=30).map(str.encode), max_size=4)


def documents(seed: int, n: int, n_words: int = 40) -> list[bytes]:
    draw = random.Random(seed)
    return [" ".join(draw.choice(WORDS) for _ in range(n_words)).encode() for _ in range(n)]


def ppmd_length(order: int) -> object:
    def length(text: bytes) -> int:
        encoder = pyppmd.Ppmd7Encoder(order, compressors.PPMD_MEMORY)
        return len(encoder.encode(text)) + len(encoder.flush()) if text else len(encoder.flush())

    return length


@settings(max_examples=25)
@given(texts, texts, st.integers(2, 64))
def test_ppmd_costs_what_whole_archives_grow_by(
    train: list[bytes], test: list[bytes], order: int
) -> None:
    length = ppmd_length(order)
    for adaptive in (True, False):
        found = compressors.ppmd_bits(train, test, order, adaptive=adaptive)
        slow = compressed.adaptive if adaptive else compressed.static
        assert found == slow(length, train, test)


def test_ppmd_is_7_zips() -> None:
    """The archive of the library's own whole function adds the same bytes."""
    train, test = documents(1, 30), documents(2, 5)
    found = sum(compressors.ppmd_bits(train, test, 8, adaptive=True))
    whole, known = b"\n\n".join(train + test), b"\n\n".join(train)
    sizes = [len(pyppmd.compress(each, max_order=8, variant="H")) for each in (whole, known)]
    assert abs(found - 8 * (sizes[0] - sizes[1])) <= 8


def test_who_adapts_pays_less_for_what_comes_again() -> None:
    secret = random.Random(4).randbytes(300).hex().encode()
    train, test = documents(1, 10), [secret, secret]
    first, again = compressors.ppmd_bits(train, test, 8, adaptive=True)
    assert again < first / 10
    alone, alone_too = compressors.ppmd_bits(train, test, 8, adaptive=False)
    assert alone == alone_too >= first - 8


def test_the_best_order_is_what_val_needs_fewest_bits_by() -> None:
    train, val = documents(1, 40), documents(2, 5)
    for adaptive in (True, False):
        best = compressors.best_order(train, val, adaptive=adaptive)
        costs = {
            order: sum(compressors.ppmd_bits(train, val, order, adaptive=adaptive))
            for order in compressors.ORDERS
        }
        assert costs[best] == min(costs.values()) < costs[2]


@pytest.mark.parametrize("order", [1, 65])
def test_an_order_that_ppmd_lacks_is_refused(order: int) -> None:
    with pytest.raises(VariorumError, match=f"PPMd of order {order}; give 2 to 64"):
        compressors.ppmd_bits([], [], order, adaptive=True)


def test_bz2_and_xz_cost_what_the_text_adds_to_the_archive() -> None:
    train, test = documents(1, 20), documents(2, 5)
    known, whole = b"\n\n".join(train), b"\n\n".join(train + test)
    added = len(bz2.compress(whole)) - len(bz2.compress(known))
    assert compressors.bz2_bits(train, test) == 8 * added
    preset = 9 | lzma.PRESET_EXTREME
    sizes = [len(lzma.compress(text, preset=preset)) for text in (whole, known)]
    assert abs(compressors.xz_bits(train, test) - 8 * (sizes[0] - sizes[1])) < 8 * 12


@pytest.mark.parametrize(("known", "new"), LIMITS)
def test_no_archive_of_bz2_holds_more_than_a_block(known: int, new: int) -> None:
    before, text = random.Random(1).randbytes(known), random.Random(2).randbytes(new)
    pieces = list(compressors._blocks(before, text, 100))
    assert b"".join(piece for _, piece in pieces) == text
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
        sizes = [len(compressors._xz(text, dictionary)) for text in (whole, known)]
        return sizes[0] - sizes[1]

    assert added(1 << 16) > 1900
    assert added(1 << 20) < 400
    assert compressors.xz_bits([secret, noise], [secret]) < 8 * 400


def test_random_text_cannot_be_compressed_below_its_entropy() -> None:
    test = [random.Random(5).randbytes(5000).hex().encode()]
    train = documents(1, 5)
    costs = [compressors.bz2_bits(train, test), compressors.xz_bits(train, test)]
    costs += compressors.ppmd_bits(train, test, 6, adaptive=True)
    assert all(cost > 4 * len(test[0]) for cost in costs)
