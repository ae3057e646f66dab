import unicodedata
from itertools import pairwise

import pytest
from ftfy import fix_encoding
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from hypothesis import given
from hypothesis import strategies as st

from conftest import tiny_shakespeare
from variorum.base.errors import VariorumError
from variorum.config.corpus_settings import NormalizeSettings
from variorum.corpus.documents import Document
from variorum.corpus.normalize import Normalizer, _repair_encoding

SETTINGS = st.builds(
    NormalizeSettings,
    repair_encoding=st.booleans(),
    unicode_form=st.sampled_from(["NFC", "NFKC", "none"]),
    collapse_spaces=st.booleans(),
    max_repeated_lines=st.none() | st.just(0.2),
)
# Characters that steps fight over, and halves of mojibake, beside any others.
TRICKY = st.sampled_from(
    "\r\n\t\v\f \x00\x85\u2028\ufeff\ud83d\ude00Ãâ€™©¨\xa0e\u0301\u0323ﬁ\U0001e4ec"
)
TEXTS = st.text(st.one_of(TRICKY, st.characters()))


def clean(text: str, **settings) -> str:
    return Normalizer(NormalizeSettings(**settings)).clean(text)


def run(texts, **settings):
    normalizer = Normalizer(NormalizeSettings(**settings))
    documents = (Document(str(n), "g", text) for n, text in enumerate(texts))
    return [document.text for document in normalizer.run(documents)], normalizer.funnel


@given(TEXTS, SETTINGS)
def test_cleaning_clean_text_changes_nothing(text, settings):
    once = Normalizer(settings).clean(text)
    assert Normalizer(settings).clean(once) == once


MOJIBAKE = "".join(MOJIBAKE_CATEGORIES.values()) + "ГўВЂВ.вЂÂÃÎÐØÙàŒ×²√≈‚Äó°¢β€ā€™ ÃÂ "


@given(st.text(st.sampled_from(MOJIBAKE) | st.sampled_from("abcdef zA.,1\n" * 9)) | TEXTS)
def test_each_line_has_its_encoding_repaired_as_by_ftfy(text):
    lines = [line if line.isascii() else fix_encoding(line) for line in text.split("\n")]
    assert _repair_encoding(text) == "\n".join(lines)


def test_nothing_in_ascii_looks_like_mojibake():
    """As lines are screened by what is beyond ASCII in them."""
    ascii_ = [chr(code) for code in range(128)]
    assert not is_bad("".join(a + b + c for a in ascii_ for b in " aZ0.($" for c in ascii_))


def test_a_step_that_makes_work_for_an_earlier_one_is_followed_by_it():
    assert clean("caf\u00c3\x00\u00a9") == "café"
    assert clean("e\x00\u0301") == "é"


@given(TEXTS, SETTINGS)
def test_clean_text_is_utf_8_with_plain_line_ends_and_no_control_characters(text, settings):
    result = Normalizer(settings).clean(text)
    assert result.encode("utf-8").decode("utf-8") == result
    assert not {c for c in result if unicodedata.category(c) in ("Cc", "Cs")} - {"\n", "\t"}
    assert not result.startswith("\n")
    assert not result.endswith("\n\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("itâ€™s a cafÃ©", "it’s a café"),
        ("plain\nitâ€™s\ncafé", "plain\nit’s\ncafé"),
        ("‘quoted’ &amp; ﬁne １", "‘quoted’ &amp; ﬁne １"),  # no other fixes than encoding
        ("e\u0301", "é"),
        ("a\r\nb\rc\x0bd\x0ce\x85f\u2028g\u2029h", "a\nb\nc\nd\ne\nf\ng\nh"),
        ("a\x00b\x7fc\ufeff\td", "abc\td"),
        ("\ud83d\ude00 \ud83d", "😀 \ufffd"),
        ("\n \n  indented\nend  \n\n \n", "  indented\nend\n"),
        (" \n ", ""),
        ("two  spaces  \n\n\n\nkept", "two  spaces  \n\n\n\nkept"),
    ],
)
def test_texts_are_cleaned(text, expected):
    if "\x85" in text:  # alone on a line it is taken for mojibake of an ellipsis
        assert clean(text, repair_encoding=False) == expected
    else:
        assert clean(text) == expected


def test_settings_choose_the_steps():
    assert clean("itâ€™s", repair_encoding=False) == "itâ€™s"
    assert clean("ﬁ①e\u0301", unicode_form="NFKC") == "fi1é"
    assert clean("e\u0301", unicode_form="none") == "e\u0301"
    assert clean("  a \t b  \n\n\n\nc \n", collapse_spaces=True) == "a b\n\nc\n"


def test_characters_that_unicode_14_does_not_assign_are_left_where_they_are():
    late = "\U0001e08f"  # a combining letter of Unicode 15.0
    text = f"e\u0301{late}e\u0323\u0301"
    assert clean(text) == f"é{late}ẹ\u0301"
    # With the marks in this order, Python 3.12 and later would move the late one.
    assert clean(f"a{late}\u0323") == f"a{late}\u0323"


def test_clean_text_of_any_assigned_characters_is_in_the_form_named():
    text = "".join(map(chr, range(0xA0, 0xD7FF)))
    assigned = "".join(c for c in text if unicodedata.category(c) != "Cn")
    for form in ("NFC", "NFKC"):
        result = clean(assigned, unicode_form=form, repair_encoding=False)
        assert unicodedata.normalize(form, result) == result


def test_short_and_repeated_documents_are_dropped():
    texts, funnel = run(["one", "two ", "x", "one", "two"], min_characters=2, drop_duplicates=True)
    assert texts == ["one", "two"]
    steps = {step["name"]: step for step in funnel.to_dict()["steps"]}
    assert steps["min_characters"]["dropped"] == 1
    assert steps["duplicates"]["dropped"] == 2
    assert steps["duplicates"]["bytes_in"] == 12
    assert steps["duplicates"]["bytes_kept"] == 6
    assert steps["strip"]["changed"] == 1


def test_repeated_documents_are_kept_on_demand():
    assert run(["one", "one", ""], drop_duplicates=False)[0] == ["one", "one"]


def test_the_funnel_shows_the_first_few_that_each_step_dropped():
    texts = [f"{n} " + "word " * 200 for n in range(5)]
    funnel = run([*texts, *texts, "x"], min_characters=2)[1]
    steps = {step["name"]: step for step in funnel.to_dict()["steps"]}
    assert steps["duplicates"]["dropped"] == 5
    examples = steps["duplicates"]["examples"]
    assert [example["document"] for example in examples] == ["5", "6", "7"]
    assert examples[0]["excerpt"].startswith("0 word word")
    assert examples[0]["excerpt"].endswith("…")
    assert len(examples[0]["excerpt"]) < 200
    assert steps["min_characters"]["examples"] == [{"document": "10", "excerpt": "x", "reason": ""}]
    assert not steps["strip"]["examples"]


def test_documents_that_nearly_repeat_another_are_dropped_on_demand():
    text = " ".join(f"word{n}" for n in range(80))
    near = text.replace("word40 ", "other ")
    assert run([text, near])[0] == [text, near]
    texts, funnel = run([text, near, "something else"], near_duplicates=0.7)
    assert texts == [text, "something else"]
    (example,) = funnel.steps[-1].examples
    assert example.document == "1"
    assert example.reason.endswith(" like 0")


@given(st.lists(TEXTS, min_size=1), SETTINGS)
def test_the_funnel_accounts_for_every_document_and_byte(texts, settings):
    normalizer = Normalizer(settings)
    kept = list(normalizer.run([Document("i", "g", "x"), *(Document("i", "g", t) for t in texts)]))
    steps = normalizer.funnel.steps
    assert steps[0].documents_in == len(texts) + 1
    assert steps[0].bytes_in == sum(len(t.encode("utf-8", "surrogatepass")) for t in texts) + 1
    for step, following in pairwise(steps):
        assert step.documents_kept == following.documents_in
        assert step.bytes_kept == following.bytes_in
    assert steps[-1].documents_kept == len(kept)
    assert steps[-1].bytes_kept == sum(len(d.text.encode()) for d in kept)


def test_documents_are_streamed():
    def endless():
        while True:
            yield Document("1", "g", "text")

    normalizer = Normalizer(NormalizeSettings())
    assert next(normalizer.run(endless())).text == "text"
    assert normalizer.funnel.steps[-1].documents_in == 1


def test_nothing_left_is_an_error_that_names_the_reason():
    with pytest.raises(VariorumError, match=r"no document is left of 2 \(min_characters dropped 2"):
        run([" ", "x"], min_characters=10)


def test_tinyshakespeare_is_left_as_it_is():
    text = tiny_shakespeare().read_bytes().decode("utf-8")
    assert clean(text) == text
