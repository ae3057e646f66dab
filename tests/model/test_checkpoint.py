"""A saved model is the same model, and files that do not fit are refused in one sentence."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from variorum.base.errors import VariorumError
from variorum.config.model_settings import ModelSettings
from variorum.model import checkpoint
from variorum.model.gpt import GPT

SIZE = {"n_layer": 2, "n_head": 2, "n_embd": 8, "context_length": 6}
VARIANTS: list[dict[str, object]] = [
    {},
    {"positions": "rotary", "rotary_base": 500.0},
    {"bias": False, "dropout": 0.25},
    {"tied_head": False, "feed_forward": "swiglu", "norm": "rms"},
    {"ngrams": (2,), "ngram_buckets": 9, "token_shift": True, "norm_position": "after"},
]


def model_with(**changes: object) -> GPT:
    return GPT(ModelSettings(**{**SIZE, **changes}), 11, seed=5)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    checkpoint.save(model_with(), tmp_path)
    return tmp_path


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


@pytest.mark.parametrize("changes", VARIANTS)
def test_a_model_comes_back_to_the_bit(tmp_path: Path, changes: dict[str, object]) -> None:
    model = model_with(**changes)
    checkpoint.save(model, tmp_path)
    found = checkpoint.load(tmp_path)
    assert found.settings == model.settings
    assert found.vocab_size == model.vocab_size
    expected = model.state_dict()
    assert list(expected) == list(found.state_dict())
    assert all(torch.equal(w, expected[name]) for name, w in found.state_dict().items())
    assert not found.training
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(found(ids), model.eval()(ids))


def test_a_loaded_model_can_be_trained(saved: Path) -> None:
    model = checkpoint.load(saved).train()
    model.loss(torch.tensor([[1, 2]]), torch.tensor([[2, 3]])).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_equal_models_give_equal_bytes(
    saved: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    checkpoint.save(checkpoint.load(saved), other)
    for name in ("model.safetensors", "config.json"):
        assert (saved / name).read_bytes() == (other / name).read_bytes()


def test_the_files_are_a_gpt2s(saved: Path) -> None:
    shapes = {
        name: tuple(w.shape)
        for name, w in safetensors.torch.load((saved / "model.safetensors").read_bytes()).items()
    }
    layers = {
        f"transformer.h.{layer}.{name}": shape
        for layer in range(2)
        for name, shape in {
            "ln_1.weight": (8,),
            "ln_1.bias": (8,),
            "attn.c_attn.weight": (8, 24),  # (in, out)
            "attn.c_attn.bias": (24,),
            "attn.c_proj.weight": (8, 8),
            "attn.c_proj.bias": (8,),
            "ln_2.weight": (8,),
            "ln_2.bias": (8,),
            "mlp.c_fc.weight": (8, 32),
            "mlp.c_fc.bias": (32,),
            "mlp.c_proj.weight": (32, 8),
            "mlp.c_proj.bias": (8,),
        }.items()
    }
    assert shapes == layers | {
        "transformer.wte.weight": (11, 8),  # and no lm_head: it is the same
        "transformer.wpe.weight": (6, 8),
        "transformer.ln_f.weight": (8,),
        "transformer.ln_f.bias": (8,),
    }
    config = json.loads((saved / "config.json").read_text("utf-8"))
    assert config["model_type"] == "gpt2"
    assert config["architectures"] == ["GPT2LMHeadModel"]
    assert config["n_positions"] == 6
    assert config["vocab_size"] == 11


@pytest.mark.parametrize("changes", VARIANTS[1:])
def test_what_is_no_gpt2_does_not_say_so(tmp_path: Path, changes: dict[str, object]) -> None:
    checkpoint.save(model_with(**changes), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text("utf-8"))["model_type"] == "variorum"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(VariorumError, match=f"{name}: cannot be read"):
        checkpoint.load(saved)


def test_a_truncated_file_is_refused(saved: Path) -> None:
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(VariorumError, match="not a whole safetensors file"):
        checkpoint.load(saved)


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"variorum": {}}', "\ufeff"])
def test_a_config_that_is_none_is_refused(saved: Path, text: str) -> None:
    (saved / "config.json").write_text(text, "utf-8")
    with pytest.raises(VariorumError, match="needs the entries"):
        checkpoint.load(saved)


@pytest.mark.parametrize("vocab_size", [0, -1, "11", 11.0, True, None])
def test_a_vocabulary_of_no_size_is_refused(saved: Path, vocab_size: object) -> None:
    edit_config(saved, vocab_size=vocab_size)
    with pytest.raises(VariorumError, match="vocab_size is"):
        checkpoint.load(saved)


def test_a_setting_that_is_unknown_is_named(saved: Path) -> None:
    edit_config(saved, variorum={**SIZE, "n_heads": 2})
    with pytest.raises(VariorumError, match=r"variorum\.n_heads"):
        checkpoint.load(saved)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**SIZE, "n_embd": 16}, "asks for"),
        ({**SIZE, "n_layer": 3}, "is nothing"),
        ({**SIZE, "n_layer": 1}, "asks for nothing"),
        ({**SIZE, "positions": "rotary"}, "wpe.weight is"),
    ],
)
def test_weights_of_another_model_are_refused(
    saved: Path, settings: dict[str, object], message: str
) -> None:
    edit_config(saved, **checkpoint._config(ModelSettings(**settings), 11))
    with pytest.raises(VariorumError, match=message):
        checkpoint.load(saved)


@pytest.mark.parametrize("name", ["n_layer", "n_head", "n_embd", "n_positions"])
@pytest.mark.parametrize("changes", [{}, {"positions": "rotary"}], ids=str)
def test_a_field_that_contradicts_our_entry_is_refused(
    tmp_path: Path, name: str, changes: dict[str, object]
) -> None:
    checkpoint.save(model_with(**changes), tmp_path)
    edit_config(tmp_path, **{name: 64})
    with pytest.raises(VariorumError, match=f'{name} is 64, and the entry "variorum" asks for'):
        checkpoint.load(tmp_path)


def test_weights_of_another_type_are_refused(saved: Path) -> None:
    path = saved / "model.safetensors"
    tensors = safetensors.torch.load(path.read_bytes())
    path.write_bytes(safetensors.torch.save({name: w.double() for name, w in tensors.items()}))
    with pytest.raises(VariorumError, match="float64"):
        checkpoint.load(saved)
