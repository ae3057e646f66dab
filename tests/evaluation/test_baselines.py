"""Compressors as baselines."""

import bz2
import random

import pytest

from variorum.base.errors import VariorumError
from variorum.evaluation import baselines

WORDS = ["graph", "node", "edge", "path", "weight", "tree", "cycle", "flow", "cut", "degree"]


def documents(seed, n):
    draw = random.Random(seed)
    return [" ".join(draw.choice(WORDS) for _ in range(40)) for _ in range(n)]


def test_cost_is_what_the_test_text_adds_to_the_archive():
    train, test = documents(1, 20), documents(2, 5)
    found = baselines.compressors(train, test)
    known, whole = "\n\n".join(train).encode(), "\n\n".join(train + test).encode()
    added = len(bz2.compress(whole)) - len(bz2.compress(known))
    assert found["bz2"] == 8 * added / sum(map(len, test))
    assert sorted(found) == ["bz2", "xz"]


def test_xz_remembers_as_far_back_as_its_dictionary():
    noise, secret = random.Random(3).randbytes(200_000), random.Random(4).randbytes(2000)

    def added(dictionary):
        whole, known = secret + noise + secret, secret + noise
        return len(baselines._xz(whole, dictionary)) - len(baselines._xz(known, dictionary))

    assert added(1 << 16) > 1900
    assert added(1 << 20) < 400


def test_xz_gets_a_dictionary_that_holds_the_whole_text(monkeypatch):
    sizes = []
    monkeypatch.setattr(baselines, "_xz", lambda data, size: sizes.append((size, data)) or data)
    baselines.compressors(["a" * 70_000], ["b" * 9000])
    assert all(size >= len(data) for size, data in sizes)


def test_random_text_cannot_be_compressed_below_its_entropy():
    test = [random.Random(5).randbytes(5000).hex()]
    for bits in baselines.compressors(documents(1, 5), test).values():
        assert bits > 4


def test_baselines_are_the_same_every_time_and_take_iterators():
    train, test = documents(1, 10), documents(2, 10)
    assert baselines.compressors(iter(train), iter(test)) == baselines.compressors(train, test)


def test_bytes_are_counted_and_not_characters():
    test = ["é" * 500]
    found = baselines.compressors([], test)
    added = len(bz2.compress(test[0].encode())) - len(bz2.compress(b""))
    assert found["bz2"] == 8 * added / 1000


@pytest.mark.parametrize("test", [[], [""], ["", ""]])
def test_no_test_text_is_refused(test):
    with pytest.raises(VariorumError, match="no text"):
        baselines.compressors(["a"], test)
