"""An exported folder gives Hugging Face's libraries the same ids and logits."""

from functools import cache
from pathlib import Path

import pytest
import tokenizers
import torch
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from variorum.base.errors import VariorumError
from variorum.config.model_settings import ModelSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.model import checkpoint
from variorum.model.export import export
from variorum.model.gpt import GPT
from variorum.tokenizer.base import END_OF_TEXT, Tokenizer
from variorum.tokenizer.kinds import bpe, characters
from variorum.tokenizer.serialization import load as load_tokenizer

TEXT = "The cat sat on the mat, and the dog barked at thé cat: 'I'll sit there!' 漢字 " * 3
SIZE = {"n_layer": 2, "n_head": 2, "n_embd": 32, "context_length": 32}


def tokenizer_of(kind: str) -> Tokenizer:
    if kind == "bpe":
        return bpe.train([TEXT], TokenizerSettings(kind="bpe", vocab_size=300))
    return characters.train([TEXT], TokenizerSettings(kind="characters", vocab_size=None))


def saved(folder: Path, kind: str = "bpe", **changes: object) -> Path:
    """A model as a result holds it, with weights that are large enough to matter."""
    folder.mkdir()
    tokenizer = tokenizer_of(kind)
    model = GPT(ModelSettings(**{**SIZE, **changes}), tokenizer.vocab_size, seed=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    checkpoint.save(model, folder)
    tokenizer.save(folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="module", params=["bpe", "characters"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("exported")
    export(saved(place / "model", request.param), place / "a new" / "folder")
    return place / "a new" / "folder"


@cache
def theirs(folder: Path) -> "transformers.PreTrainedTokenizerBase":
    found: transformers.PreTrainedTokenizerBase = transformers.AutoTokenizer.from_pretrained(folder)
    return found


def test_the_folder_holds_what_their_libraries_look_for(exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (exported / name).read_bytes() == (exported.parents[1] / "model" / name).read_bytes()


def test_their_model_gives_the_same_logits(exported: Path) -> None:
    other = transformers.AutoModelForCausalLM.from_pretrained(exported).eval()
    assert isinstance(other, transformers.GPT2LMHeadModel)
    ids = torch.tensor([load_tokenizer(exported / "tokenizer.json").encode(TEXT)[:32]])
    with torch.no_grad():
        expected = checkpoint.load(exported)(ids)
        torch.testing.assert_close(other(ids).logits, expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.3


@settings(deadline=None, max_examples=200)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@example(text=TEXT)
@example(text=f"one{END_OF_TEXT}two <|endoftext |> ")
@example(text=" .  , n't\t\r\n\u00a0\u2028 ")
def test_their_tokenizers_give_the_same_ids(exported: Path, text: str) -> None:
    own = load_tokenizer(exported / "tokenizer.json")
    other = theirs(exported)
    assert other.encode(text) == own.encode(text)
    assert other.decode(own.encode(text)) == text
    plain = tokenizers.Tokenizer.from_file(str(exported / "tokenizer.json"))
    if END_OF_TEXT not in text:
        assert plain.encode(text).ids == own.encode(text)


def test_their_tokenizer_knows_the_end_of_a_text(exported: Path) -> None:
    other, own = theirs(exported), load_tokenizer(exported / "tokenizer.json")
    assert isinstance(other, transformers.PreTrainedTokenizerFast)
    assert (other.eos_token, other.eos_token_id) == (END_OF_TEXT, own.eot)
    assert (other.bos_token, other.bos_token_id) == (END_OF_TEXT, own.eot)
    assert other.model_max_length == SIZE["context_length"]
    assert len(other) == own.vocab_size


def test_their_model_writes_what_ours_finds_likeliest(exported: Path) -> None:
    own = load_tokenizer(exported / "tokenizer.json")
    other = transformers.AutoModelForCausalLM.from_pretrained(exported).eval()
    start = torch.tensor([own.encode("the")])
    written = other.generate(start, do_sample=False)[0].tolist()
    assert len(written) == SIZE["context_length"] or written[-1] == own.eot
    model, expected = checkpoint.load(exported), start[0].tolist()
    while len(expected) < len(written):
        with torch.no_grad():
            expected.append(int(model(torch.tensor([expected]))[0, -1].argmax()))
    assert written == expected


def test_a_folder_that_holds_anything_is_left_alone(tmp_path: Path) -> None:
    model, target = saved(tmp_path / "model"), tmp_path / "target"
    target.mkdir()
    export(model, target)
    before = {path: path.read_bytes() for path in target.iterdir()}
    with pytest.raises(VariorumError, match="target is not empty; name a new folder"):
        export(model, target)
    with pytest.raises(VariorumError, match=r"config\.json is a file"):
        export(model, target / "config.json")
    assert {path: path.read_bytes() for path in target.iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"positions": "rotary"}, r"model\.positions: rotary \(a GPT-2 has learned\)"),
        ({"bias": False, "norm": "rms"}, r"model\.norm: rms .*, model\.bias: False \(a GPT-2 has"),
    ],
)
def test_what_is_no_gpt2_is_refused_with_the_settings_that_make_it_none(
    tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(VariorumError, match=f"is no GPT-2.*{named}"):
        export(saved(tmp_path / "model", **changes), tmp_path / "target")
    assert not (tmp_path / "target").exists()
