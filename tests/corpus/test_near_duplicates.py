"""Near-duplicates, compared with the exact similarity of every pair."""

from random import Random

import pytest

from variorum.corpus import near_duplicates
from variorum.corpus.near_duplicates import NearDuplicates, runs

WORDS = [f"word{n}" for n in range(3000)]


def text(random: Random, length: int = 120) -> str:
    return " ".join(random.choices(WORDS, k=length))


def edited(random: Random, of: str, edits: int) -> str:
    """The text with some words replaced."""
    words = of.split()
    for place in random.sample(range(len(words)), edits):
        words[place] = random.choice(WORDS)
    return " ".join(words)


def similarity(one: str, other: str) -> float:
    """Exact Jaccard similarity of the sets of runs."""
    first, second = runs(one), runs(other)
    return len(first & second) / len(first | second)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9])
def test_pairs_are_found_as_the_exact_similarity_says(threshold):
    random = Random(1)
    seen = NearDuplicates(threshold)
    for trial in range(150):
        one = text(random)
        other = edited(random, one, random.randrange(20))
        assert seen.find(f"one {trial}", one) is None
        exact, found = similarity(one, other), seen.find(f"other {trial}", other)
        if exact > threshold + 0.12:
            assert found is not None, (trial, exact)
        if exact < threshold - 0.12:
            assert found is None, (trial, exact)
        if found is not None:
            assert found[0] == f"one {trial}"
            assert found[1] == pytest.approx(exact, abs=0.12)


def test_the_likest_of_several_is_named_and_dropped_ones_are_not_remembered():
    random = Random(2)
    base = text(random)
    near, nearer = edited(random, base, 12), edited(random, base, 1)
    seen = NearDuplicates(0.5)
    unlike = [text(random) for _ in range(50)]
    assert [seen.find(f"u{n}", each) for n, each in enumerate(unlike)] == [None] * 50
    assert similarity(near, base) < 0.5
    assert seen.find("near", near) is None
    assert seen.find("base", base) is None
    found = seen.find("nearer", nearer)
    assert found is not None
    assert found[0] == "base"
    assert seen.find("nearer again", nearer) == found


def test_short_texts_are_one_run():
    assert runs("a b c") == {"a b c"}
    assert runs("a b c d e f") == {"a b c d e", "b c d e f"}
    assert runs("") == {""}


def test_the_same_texts_give_the_same_answers():
    def answers() -> list[object]:
        random = Random(3)
        seen = NearDuplicates(0.4)
        base = text(random)
        return [seen.find(str(n), edited(random, base, 8)) for n in range(40)]

    assert answers() == answers()


@pytest.mark.parametrize("threshold", [0.2, 0.99, 0.999, 1.0])
def test_both_ends_of_the_range_can_be_asked_for(threshold):
    random = Random(4)
    base = text(random)
    seen = NearDuplicates(threshold)
    assert seen.find("base", base) is None
    assert seen.find("same", base) == ("base", 1.0)
    assert seen.find("unlike", text(random)) is None
    assert (seen.find("half", edited(random, base, 20)) is None) == (threshold > 0.9)


def test_a_long_document_is_sketched_part_by_part_and_alike(monkeypatch):
    hashed = []
    update = near_duplicates.MinHash.update_batch

    def noted(sketch, batch):
        hashed.append(len(batch))
        update(sketch, batch)

    monkeypatch.setattr(near_duplicates.MinHash, "update_batch", noted)
    long = text(Random(5), 10_000)
    seen = NearDuplicates(1.0)
    assert seen.find("long", long) is None
    assert max(hashed) <= 5000
    assert sum(hashed) == len(runs(long))
    monkeypatch.setattr(near_duplicates, "_BATCH", 1 << 30)
    assert seen.find("at once", long) == ("long", 1.0)
    assert hashed[-1] == len(runs(long))
