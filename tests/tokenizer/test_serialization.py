"""`tokenizer.json` is read back as it was saved, and nothing else is taken for one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from variorum.base.errors import VariorumError
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.tokenizer.base import Tokenizer
from variorum.tokenizer.kinds import bpe, characters
from variorum.tokenizer.serialization import load

TEXT = "the cat sat on the mat: thé 漢字 \x00\x7f\u2028"


def tokenizer_of(kind: str) -> Tokenizer:
    if kind == "bpe":
        return bpe.train([TEXT], TokenizerSettings(kind="bpe", vocab_size=270))
    return characters.train([TEXT], TokenizerSettings(kind="characters", vocab_size=None))


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_a_saved_tokenizer_is_read_back(kind: str, tmp_path: Path) -> None:
    saved, first, second = tokenizer_of(kind), tmp_path / "1", tmp_path / "2"
    saved.save(first)
    loaded = load(first)
    loaded.save(second)
    assert type(loaded) is type(saved)
    assert loaded.encode(TEXT + "!ß") == saved.encode(TEXT + "!ß")
    assert first.read_bytes() == second.read_bytes()


def _drop_merge(model: dict[str, Any]) -> None:
    model["merges"].pop()


def _swap_merges(model: dict[str, Any]) -> None:
    model["merges"][0], model["merges"][1] = model["merges"][1], model["merges"][0]


def _repeat_merge(model: dict[str, Any]) -> None:
    model["merges"].append(model["merges"][0])


def _merge_of_unknown_tokens(model: dict[str, Any]) -> None:
    model["merges"][0] = "xyz q"


def _merges_are_numbers(model: dict[str, Any]) -> None:
    model["merges"] = 7


def _vocabulary_has_another_id(model: dict[str, Any]) -> None:
    model["vocab"]["e"] += 1


def _no_vocabulary(model: dict[str, Any]) -> None:
    model["vocab"] = None


@pytest.mark.parametrize(
    "damage",
    [
        _drop_merge,
        _swap_merges,
        _repeat_merge,
        _merge_of_unknown_tokens,
        _merges_are_numbers,
        _vocabulary_has_another_id,
        _no_vocabulary,
    ],
)
def test_a_changed_bpe_file_is_refused(
    damage: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    document = tokenizer_of("bpe").document()
    damage(document["model"])
    _assert_refused(document, tmp_path, "changed or damaged")


def test_a_file_in_which_two_merges_make_one_token_is_refused(tmp_path: Path) -> None:
    t, h, e = (bpe.SIGNS.index(sign) for sign in "the")
    document = bpe.BytePairTokenizer([(t, h), (h, e), (256, e), (t, 257)]).document()
    _assert_refused(document, tmp_path, "changed or damaged")


def test_a_changed_characters_file_is_refused(tmp_path: Path) -> None:
    document = tokenizer_of("characters").document()
    document["model"]["vocab"]["\ud800"] = 5
    _assert_refused(document, tmp_path, "changed or damaged")


@pytest.mark.parametrize("content", [{}, [], "text", 3, None, {"model": {"type": "BPE"}}])
def test_json_that_is_no_tokenizer_of_ours_is_refused(content: Any, tmp_path: Path) -> None:
    _assert_refused(content, tmp_path, "variorum_kind is None")


def test_an_unknown_kind_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    _assert_refused(
        {"model": {"variorum_kind": "../../os"}}, tmp_path, r"'\.\./\.\./os'.* bpe, characters"
    )


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_not_json_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(VariorumError, match=r"tokenizer\.json: not a tokenizer\.json"):
        load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VariorumError, match=r"nowhere\.json: cannot be read"):
        load(tmp_path / "nowhere.json")


def _assert_refused(content: Any, folder: Path, why: str) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(VariorumError, match=rf"tokenizer\.json: .*{why}"):
        load(path)
