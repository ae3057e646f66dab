"""A tokenizer that others made gives the ids that their libraries give, or is refused by name."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from peers import byte_level_tokenizer
from variorum.base.errors import VariorumError
from variorum.tokenizer import serialization
from variorum.tokenizer.base import END_OF_TEXT
from variorum.tokenizer.hugging_face import load

TEXTS = ["The cat sat on the mat, didn't it? " * 3, "thé 漢字 123 456\n\n  the end.\t" * 3]


def save_whole(folder: Path) -> None:
    byte_level_tokenizer(TEXTS, 290).save(str(folder / "tokenizer.json"))


def save_with_pairs(folder: Path) -> None:
    """Merges as pairs, or as texts: both are written by some version of `tokenizers`."""
    save_whole(folder)
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    merges = document["model"]["merges"]
    other = [each.split(" ") if isinstance(each, str) else " ".join(each) for each in merges]
    document["model"]["merges"] = other
    path.write_text(json.dumps(document))


def save_in_parts(folder: Path) -> None:
    """As GPT-2 was first published: `vocab.json`, which knows the end of a text, and merges."""
    tokenizer = byte_level_tokenizer(TEXTS, 290)
    tokenizer.model.save(str(folder))
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    assert (folder / "merges.txt").read_text().startswith("#version")


def save_as_transformers_does(folder: Path) -> None:
    save_in_parts(folder)
    tokenizer = transformers.GPT2Tokenizer.from_pretrained(folder)
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()
    tokenizer.save_pretrained(folder)


def save_as_gpt2_is_published(folder: Path) -> None:
    """An early form: the model's type is left out, and offsets are trimmed behind it."""
    save_whole(folder)
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text())
    trimming = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False}
    del document["model"]["type"], document["model"]["byte_fallback"]
    del document["model"]["ignore_merges"], document["pre_tokenizer"]["use_regex"]
    document["model"] |= {"continuing_subword_prefix": "", "end_of_word_suffix": ""}
    path.write_text(json.dumps({**document, "post_processor": trimming}))


FORMS = (
    save_whole,
    save_with_pairs,
    save_in_parts,
    save_as_transformers_does,
    save_as_gpt2_is_published,
)


@pytest.fixture(scope="module", params=FORMS, ids=lambda form: form.__name__)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("imported")
    # their loader wants to know what model it is for
    transformers.GPT2Config().save_pretrained(made)
    request.param(made)
    return made


THEIRS = byte_level_tokenizer(TEXTS, 290)


@settings(deadline=None, max_examples=300)
@given(text=st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(TEXTS))
@example(text=" \u00a0 the\u2028 mat's 12345 . \r\n")
def test_ids_are_theirs(folder: Path, text: str) -> None:
    own = load(folder)
    if END_OF_TEXT not in text:
        assert own.encode(text) == THEIRS.encode(text).ids
    assert own.decode(own.encode(text)) == text


def test_their_loader_agrees_with_what_is_read(folder: Path) -> None:
    own, theirs = load(folder), transformers.AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert own.encode(text) == theirs.encode(text)
    assert own.eot == theirs.convert_tokens_to_ids(END_OF_TEXT) == len(theirs) - 1


def test_what_was_imported_is_saved_as_a_tokenizer_of_ours(folder: Path, tmp_path: Path) -> None:
    own = load(folder)
    own.save(tmp_path / "tokenizer.json")
    assert serialization.load(tmp_path / "tokenizer.json").encode(TEXTS[0]) == own.encode(TEXTS[0])
    again = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert again.encode(TEXTS[1]).ids == own.encode(TEXTS[1])


def test_what_was_exported_can_be_imported(folder: Path, tmp_path: Path) -> None:
    load(folder).save(tmp_path / "tokenizer.json")
    assert load(tmp_path).document() == load(folder).document()


# What is refused


def _end_comes_first(document: dict[str, Any]) -> None:
    vocabulary = document["model"]["vocab"]
    document["model"]["vocab"] = {name: i + 1 for name, i in vocabulary.items()}
    document["added_tokens"][0]["id"] = 0


def _no_end(document: dict[str, Any]) -> None:
    document["added_tokens"] = []


def _other_order(document: dict[str, Any]) -> None:
    vocabulary = document["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]


def _another_special(document: dict[str, Any]) -> None:
    document["added_tokens"].append({"id": 290, "content": "<pad>", "special": True})


def _prefix_space(document: dict[str, Any]) -> None:
    document["pre_tokenizer"]["add_prefix_space"] = True


def _no_regex(document: dict[str, Any]) -> None:
    document["pre_tokenizer"]["use_regex"] = False


def _cut_at_spaces(document: dict[str, Any]) -> None:
    document["pre_tokenizer"] = {"type": "Whitespace"}


def _normalizer(document: dict[str, Any]) -> None:
    document["normalizer"] = {"type": "Lowercase"}


def _template(document: dict[str, Any]) -> None:
    end = {"SpecialToken": {"id": END_OF_TEXT, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    document["post_processor"] = {"type": "TemplateProcessing", "single": [text, end]}


def _unigram(document: dict[str, Any]) -> None:
    document["model"] = {"type": "Unigram", "vocab": [["a", 0.0]]}


def _dropout(document: dict[str, Any]) -> None:
    document["model"]["dropout"] = 0.1


def _ignored_merges(document: dict[str, Any]) -> None:
    document["model"]["ignore_merges"] = True


def _merge_of_nothing(document: dict[str, Any]) -> None:
    document["model"]["merges"][0] = "xyz q"


def _more_tokens_than_merges(document: dict[str, Any]) -> None:
    document["model"]["merges"].pop()


def _no_model(document: dict[str, Any]) -> None:
    del document["model"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_end_comes_first, r"the id of <\|endoftext\|> is 0; it has to be the last, 289"),
        (_no_end, r"the id of <\|endoftext\|> is missing"),
        (_other_order, r"the id of 'a' is 65, .* gives 64"),
        (_another_special, "it adds the token '<pad>'"),
        (_prefix_space, "without a prefix space"),
        (_no_regex, "pre_tokenizer is .*use_regex"),
        (_cut_at_spaces, "pre_tokenizer is .*Whitespace"),
        (_normalizer, "it has a normalizer"),
        (_template, "its post_processor is TemplateProcessing"),
        (_unigram, "model.type is 'Unigram'; GPT-2's is 'BPE'"),
        (_dropout, r"model.dropout is 0\.1"),
        (_ignored_merges, "model.ignore_merges is True"),
        (_merge_of_nothing, "its merges do not build on each other"),
        (_more_tokens_than_merges, r"the id of <\|endoftext\|> is 289; .* the last, 288"),
        (_no_model, "not a tokenizer.json of byte-level BPE"),
    ],
)
def test_what_would_give_other_ids_is_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], why: str
) -> None:
    save_whole(tmp_path)
    path = tmp_path / "tokenizer.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(VariorumError, match=rf"tokenizer\.json: .*{why}"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"3", b"null", b"[" * 100_000])
def test_what_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(VariorumError, match=r"tokenizer\.json: "):
        load(tmp_path)
    (tmp_path / "tokenizer.json").rename(tmp_path / "vocab.json")
    (tmp_path / "merges.txt").write_text("#version: 0.2\nt h\n")
    with pytest.raises(VariorumError, match=r"vocab\.json: "):
        load(tmp_path)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    save_in_parts(tmp_path)
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(VariorumError, match=r"merges\.txt: cannot be read"):
        load(tmp_path)


def test_a_space_before_each_text_is_refused_wherever_it_is_said(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    before = path.read_bytes() if path.is_file() else None
    path.write_text(json.dumps({"add_prefix_space": True}))
    try:
        with pytest.raises(VariorumError, match=r"tokenizer_config\.json: add_prefix_space is tru"):
            load(folder)
    finally:
        path.unlink() if before is None else path.write_bytes(before)


USES: dict[str, tuple[object, ...]] = {
    "add_prefix_space": (False, True),
    "add_bos_token": (False, True),
    "add_eos_token": (False, True),
    "bos_token": (END_OF_TEXT, "<s>", {"content": "the", "lstrip": True}),
    "pad_token": (None, END_OF_TEXT, "<pad>", "mat"),
    "unk_token": (END_OF_TEXT, "cat"),
    "additional_special_tokens": ([], ["<x>"], ["sat"]),
    "tokenizer_class": ("GPT2Tokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast"),
    "errors": ("replace", "strict"),
    "model_max_length": (3, 1024),
}
"""What the file beside a tokenizer may ask for, with values of which some change ids."""


@pytest.mark.parametrize("form", [save_in_parts, save_whole], ids=lambda form: form.__name__)
@pytest.mark.parametrize("seed", range(len(USES) + 12))
def test_any_use_gives_their_ids_or_is_refused_by_name(
    tmp_path: Path, form: Callable[[Path], None], seed: int
) -> None:
    transformers.GPT2Config().save_pretrained(tmp_path)
    form(tmp_path)
    draw = random.Random(seed)
    names = list(USES)[seed : seed + 1] or [name for name in USES if draw.random() < 0.3]
    for use in [{name: draw.choice(USES[name]) for name in names} for _ in range(3)]:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(use))
        if form is save_in_parts and use.get("tokenizer_class") == "PreTrainedTokenizerFast":
            continue  # their loader would want a tokenizer.json
        found, refusal = None, ""
        try:
            found = load(tmp_path)
        except VariorumError as error:
            refusal = str(error)
        if found is None:
            assert any(name in refusal for name in use), refusal
            continue
        there = transformers.AutoTokenizer.from_pretrained(tmp_path)
        for text in (*TEXTS, "the cat <x> sat<pad> on<s> the mat"):
            assert found.encode(text) == there.encode(text), use


@pytest.mark.parametrize("name", ["add_bos_token", "add_eos_token"])
def test_a_token_added_to_each_text_is_refused(tmp_path: Path, name: str) -> None:
    save_in_parts(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({name: True}))
    with pytest.raises(VariorumError, match=f"tokenizer_config.json: {name} is true: a token"):
        load(tmp_path)


def test_tokens_added_in_a_file_of_their_own_are_refused(tmp_path: Path) -> None:
    save_in_parts(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({END_OF_TEXT: 289}))
    load(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<x>": 290}))
    with pytest.raises(VariorumError, match=r"added_tokens.json: it names the token '<x>'"):
        load(tmp_path)
