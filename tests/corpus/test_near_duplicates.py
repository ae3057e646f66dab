"""Near-duplicates, compared with the exact similarity of every pair."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


UNSPACED = {
    "Chinese": "今天天气很好，我们一起去公园散步。路上看到许多人在跑步，也有孩子在放风筝。",
    "Japanese": "彼は朝早く起きて川のほとりを歩き、それから家に帰って朝ごはんを食べた。",
    "Thai": "เขาตื่นแต่เช้าและเดินไปตามแม่น้ำ จากนั้นก็กลับบ้านไปกินข้าวเช้ากับครอบครัวของเขา",
    "Lao": "ລາວຕື່ນແຕ່ເຊົ້າແລະຍ່າງໄປຕາມແມ່ນ້ຳຈາກນັ້ນກໍກັບບ້ານໄປກິນເຂົ້າ",
    "Khmer": "គាត់ភ្ញាក់ពីព្រលឹមហើយដើរតាមមាត់ទន្លេបន្ទាប់មកគាត់ត្រឡប់ទៅផ្ទះវិញ",
    "Burmese": "သူမနက်စောစောထပြီးမြစ်ကမ်းတစ်လျှောက်လမ်းလျှောက်ခဲ့သည်ထို့နောက်အိမ်ပြန်ခဲ့သည်",
}


@pytest.mark.parametrize("language", UNSPACED)
def test_without_spaces_between_words_a_character_is_a_word(language):
    base = UNSPACED[language]
    assert len(runs(base)) > 0.7 * len(base) - 5
    middle = len(base) // 2
    edited_base = base[:middle] + base[middle + 1 :]
    other = "".join(Random(1).sample(base, len(base)))
    assert similarity(base, edited_base) > 0.7
    seen = NearDuplicates(0.6)
    assert seen.find("base", base) is None
    assert seen.find("other", other) is None
    found = seen.find("edited", edited_base)
    assert found is not None
    assert found[0] == "base"


@given(st.text(st.characters(codec="utf-8", max_codepoint=0xDFF), max_size=40))
def test_where_spaces_are_written_they_make_the_words(text):
    assert runs(text) == {
        " ".join(text.split()[n : n + 5]) for n in range(max(1, len(text.split()) - 4))
    }


def test_words_and_characters_may_stand_side_by_side():
    assert runs("用 Python 写代码") == {"用 Python 写 代 码"}
    assert runs("한국어는 띄어쓰기를 한다") == {"한국어는 띄어쓰기를 한다"}


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
