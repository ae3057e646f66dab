"""Models go to Hugging Face's `transformers` and come from there with the same logits."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers

from variorum.base.errors import VariorumError
from variorum.config.model_settings import ModelSettings
from variorum.model import checkpoint
from variorum.model.gpt import GPT

VOCAB = 61
IDS = torch.randint(VOCAB, (3, 16), generator=torch.Generator().manual_seed(1))


def theirs(**changes: object) -> "transformers.GPT2LMHeadModel":
    """A GPT-2 of theirs, with random weights that are large enough to matter."""
    torch.manual_seed(4)
    size = {"n_layer": 3, "n_head": 4, "n_embd": 32, "n_positions": 16, "vocab_size": VOCAB}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**{**size, **changes})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    theirs().save_pretrained(tmp_path)
    return tmp_path


def test_a_gpt2_of_theirs_gives_their_logits(folder: Path) -> None:
    with torch.no_grad():
        expected = theirs()(IDS).logits
        torch.testing.assert_close(checkpoint.load(folder)(IDS), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.3


@pytest.mark.parametrize("attention", ["fused", "written_out"])
def test_a_gpt2_of_ours_gives_our_logits_there(tmp_path: Path, attention: str) -> None:
    settings = ModelSettings(
        n_layer=2, n_head=4, n_embd=32, context_length=16, attention=attention, dropout=0.1
    )
    model = GPT(settings, VOCAB, seed=2).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    checkpoint.save(model, tmp_path)
    other = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert isinstance(other, transformers.GPT2LMHeadModel)
    with torch.no_grad():
        torch.testing.assert_close(other(IDS).logits, model(IDS), rtol=1e-5, atol=1e-5)


def test_there_and_back_is_the_same_to_the_bit(folder: Path, tmp_path: Path) -> None:
    checkpoint.save(checkpoint.load(folder), tmp_path)
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path).save_pretrained(tmp_path / "again")
    one, other = (safetensors.torch.load_file(f / "model.safetensors") for f in (folder, tmp_path))
    again = safetensors.torch.load_file(tmp_path / "again/model.safetensors")
    assert one.keys() == other.keys() == again.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(torch.equal(one[name], again[name]) for name in one)


def test_files_of_the_first_gpt2_are_read(folder: Path) -> None:
    """Without the prefix, and with masks among the weights."""
    path = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    masks = {f"h.{i}.attn.bias": torch.ones(1, 1, 16, 16).tril() for i in range(3)}
    plain = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    safetensors.torch.save_file({**plain, **masks}, path)
    with torch.no_grad():
        torch.testing.assert_close(checkpoint.load(folder)(IDS), theirs()(IDS).logits)


def test_a_gpt2_of_theirs_can_be_trained(folder: Path) -> None:
    model = checkpoint.load(folder).train()
    before = model.loss(IDS[:, :-1], IDS[:, 1:])
    before.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.05 * parameter.grad
    assert model.loss(IDS[:, :-1], IDS[:, 1:]) < before


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
        ({"n_inner": 48}, "n_inner is 48"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-06"),
    ],
)
def test_what_this_model_cannot_be_is_refused_by_name(
    folder: Path, changes: dict[str, object], name: str
) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(VariorumError, match=name):
        checkpoint.load(folder)


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "llama"}))
    with pytest.raises(VariorumError, match="or of a GPT-2"):
        checkpoint.load(folder)


def test_half_precision_is_refused_by_name(tmp_path: Path) -> None:
    theirs().half().save_pretrained(tmp_path)
    with pytest.raises(VariorumError, match=r"is \(.*\) of float16, and .* asks for .* of float32"):
        checkpoint.load(tmp_path)
