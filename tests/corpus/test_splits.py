import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import tiny_shakespeare
from variorum.base.errors import VariorumError
from variorum.config.corpus_settings import SplitSettings
from variorum.corpus.documents import Document
from variorum.corpus.splits import assign, by_position, side

MANY = [Document(f"{n}", f"group {n // 3}", f"text {n}") for n in range(3000)]
BY_POSITION = SplitSettings(by="position")


def test_memory_does_not_grow_with_the_number_of_groups():
    def peak(count):
        documents = (Document(str(n), f"group {n}", "text") for n in range(count))
        tracemalloc.start()
        try:
            assert sum(1 for _ in assign(documents, SplitSettings())) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(20_000) < peak(1000) + 100_000


def test_the_side_of_a_group_never_changes():
    known = {"g1": "train", "g2": "train", "g25": "test", "g26": "val", "g36": "test", "g38": "val"}
    assert {group: side(group, SplitSettings()) for group in known} == known


def test_a_group_stands_on_one_side_and_fractions_are_kept():
    placed = list(assign(MANY, SplitSettings(test_fraction=0.2)))
    assert [document for _, document in placed] == MANY
    sides = {}
    for where, document in placed:
        assert sides.setdefault(document.group, where) == where
    counts = Counter(sides.values())
    assert counts["test"] == pytest.approx(200, abs=40)
    assert counts["val"] == pytest.approx(100, abs=30)


@given(st.text(), st.text())
def test_the_side_is_a_function_of_group_and_salt(group, salt):
    split = SplitSettings(salt=salt)
    assert side(group, split) == side(group, SplitSettings(salt=salt))


def test_another_salt_makes_another_split():
    groups = [f"g{n}" for n in range(200)]
    split, other = SplitSettings(), SplitSettings(salt="other")
    assert [side(g, split) for g in groups] != [side(g, other) for g in groups]


def test_another_share_of_val_leaves_test_as_it_is():
    groups = [f"g{n}" for n in range(2000)]
    small, large = SplitSettings(val_fraction=0.05), SplitSettings(val_fraction=0.3)
    moved = {(side(group, small), side(group, large)) for group in groups}
    assert moved == {("test", "test"), ("val", "val"), ("train", "val"), ("train", "train")}


def test_two_corpora_put_a_shared_group_on_the_same_side():
    one = {d.group: s for s, d in assign(MANY[:2000], SplitSettings())}
    two = {d.group: s for s, d in assign(reversed(MANY[1000:]), SplitSettings())}
    shared = set(one) & set(two)
    assert len(shared) > 300
    assert all(one[group] == two[group] for group in shared)


def test_val_is_trained_on_as_well_on_demand():
    split = SplitSettings(train_includes_val=True)
    plain = list(assign(MANY, SplitSettings()))
    placed = list(assign(MANY, split))
    assert [p for p in placed if p[0] != "train"] == [p for p in plain if p[0] != "train"]
    assert [d for s, d in placed if s == "train"] == [d for s, d in plain if s != "test"]


def test_an_empty_side_is_an_error():
    with pytest.raises(VariorumError, match=r"none of the 1 groups fell on .*split\.salt"):
        list(assign(MANY[:3], SplitSettings()))


@given(st.text(min_size=20), st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_positions_cut_a_text_without_loss(text, val, test):
    split = SplitSettings(by="position", val_fraction=val, test_fraction=test)
    try:
        parts = by_position(Document("d", "g", text), split)
    except VariorumError:
        assert len(text) * min(val, test, 1 - val - test) < 2
        return
    assert parts["train"].text + parts["val"].text + parts["test"].text == text
    both = by_position(
        Document("d", "g", text), split.model_copy(update={"train_includes_val": True})
    )
    assert both["train"].text + both["test"].text == text
    assert both["val"] == parts["val"]


def test_parts_know_where_they_come_from():
    placed = list(assign([Document("d", "g", "0123456789" * 2, {"x": 1})], BY_POSITION))
    assert [(s, d.id, d.text, d.meta) for s, d in placed] == [
        ("train", "d:train", "0123456789012345", {"x": 1, "characters": [0, 16]}),
        ("val", "d:val", "67", {"x": 1, "characters": [16, 18]}),
        ("test", "d:test", "89", {"x": 1, "characters": [18, 20]}),
    ]


def test_test_is_the_validation_part_of_nanogpt():
    text = tiny_shakespeare().read_bytes().decode("utf-8")
    parts = by_position(Document("d", "g", text), BY_POSITION)
    assert parts["test"].text == text[int(len(text) * 0.9) :]
    assert len(parts["test"].text) == 111_540


def test_a_text_too_short_to_cut_is_refused():
    with pytest.raises(VariorumError, match="d has 3 characters, too few"):
        by_position(Document("d", "g", "abc"), BY_POSITION)


@pytest.mark.parametrize(
    ("documents", "message"), [(MANY[:2], "one single text"), ([], "no document")]
)
def test_only_one_text_can_be_split_by_position(documents, message):
    with pytest.raises(VariorumError, match=message):
        list(assign(documents, BY_POSITION))
