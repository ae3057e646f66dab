"""Models go to Hugging Face's `transformers` and come from there with the same logits."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers

from variorum.base.errors import VariorumError
from variorum.config.model_settings import ModelSettings
from variorum.model import checkpoint
from variorum.model.gpt import GPT
from variorum.model.imported_files import weight_files

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


# Files as libraries write them

Weights = dict[str, torch.Tensor]
PRE = "transformer."
LINEAR = ("c_attn.weight", "c_fc.weight", "c_proj.weight")


def half(weights: Weights) -> Weights:
    return {name: each.half() for name, each in weights.items()}


def bfloat16(weights: Weights) -> Weights:
    return {name: each.bfloat16() for name, each in weights.items()}


def plain_names(weights: Weights) -> Weights:
    return {name.removeprefix(PRE): each for name, each in weights.items()}


def compiled(weights: Weights) -> Weights:
    return {f"_orig_mod.{name}": each for name, each in weights.items()}


def compiled_and_parallel(weights: Weights) -> Weights:
    return {f"_orig_mod.module.{name}": each for name, each in weights.items()}


def with_head(weights: Weights) -> Weights:
    return {**weights, "lm_head.weight": weights[f"{PRE}wte.weight"].clone()}


def with_head_and_plain_names(weights: Weights) -> Weights:
    return plain_names(with_head(weights))


def head_alone(weights: Weights) -> Weights:
    found = with_head(weights)
    del found[f"{PRE}wte.weight"]
    return found


def with_masks(weights: Weights) -> Weights:
    masks = {f"{PRE}h.{i}.attn.bias": torch.ones(1, 1, 16, 16, dtype=torch.bool) for i in range(3)}
    return {**weights, **masks, f"{PRE}h.0.attn.masked_bias": torch.tensor(-1e4)}


def rewrite(folder: Path, change: Callable[[Weights], Weights]) -> None:
    path = folder / "model.safetensors"
    found = change(safetensors.torch.load_file(path))
    safetensors.torch.save_file({name: w.contiguous().clone() for name, w in found.items()}, path)


COMMON = (
    *(half, bfloat16, plain_names, compiled, compiled_and_parallel),
    *(with_head, with_head_and_plain_names, head_alone, with_masks),
)


@pytest.mark.parametrize("change", COMMON, ids=lambda change: change.__name__)
def test_common_files_give_their_logits(folder: Path, change: Callable[[Weights], Weights]) -> None:
    rewrite(folder, change)
    expected = theirs()
    if change in (half, bfloat16):
        expected = expected.to(torch.float16 if change is half else torch.bfloat16).float()
    with torch.no_grad():
        found = checkpoint.load(folder)(IDS)
        torch.testing.assert_close(found, expected(IDS).logits, rtol=1e-5, atol=1e-5)


def test_weights_in_several_files_are_read_and_all_belong_to_the_model(tmp_path: Path) -> None:
    theirs().save_pretrained(tmp_path, max_shard_size="20KB")
    assert not (tmp_path / "model.safetensors").exists()
    with torch.no_grad():
        torch.testing.assert_close(checkpoint.load(tmp_path)(IDS), theirs()(IDS).logits)
    parts = sorted(path.name for path in tmp_path.glob("model-*.safetensors"))
    assert weight_files(tmp_path) == ["model.safetensors.index.json", *parts]
    (tmp_path / parts[1]).unlink()
    with pytest.raises(VariorumError, match=f"{parts[1]}: cannot be read"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("index", ["{", "[]", '{"weight_map": {"wte.weight": "../other"}}', "{}"])
def test_a_damaged_index_is_refused(tmp_path: Path, index: str) -> None:
    theirs().config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(VariorumError, match="does not list files of this folder"):
        checkpoint.load(tmp_path)


def turned(weights: Weights) -> Weights:
    return {name: w.T if name.endswith(LINEAR) else w for name, w in weights.items()}


def other_head(weights: Weights) -> Weights:
    return {**weights, "lm_head.weight": weights[f"{PRE}wte.weight"] + 1}


def double(weights: Weights) -> Weights:
    return {name: each.double() for name, each in weights.items()}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (turned, r"stored as \(out, in\), as nanoGPT's are; transpose all of c_attn.weight"),
        (other_head, r"lm_head.weight differs from transformer.wte.weight"),
        (double, r"of float64, and .* of float32; save it in float32"),
    ],
)
def test_weights_that_cannot_be_read_are_refused_with_the_reason(
    folder: Path, change: Callable[[Weights], Weights], reason: str
) -> None:
    rewrite(folder, change)
    with pytest.raises(VariorumError, match=reason):
        checkpoint.load(folder)


def test_pickled_weights_are_refused_with_the_remedy(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(VariorumError, match=r"holds pytorch_model.bin .* a pickle.*save_pretraine"):
        checkpoint.load(folder)


# Fields

FIELDS: dict[str, tuple[object, ...]] = {
    "activation_function": (
        *("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh"),
        *("gelu_accurate", "quick_gelu", "relu", "silu", "tanh"),
    ),
    "layer_norm_epsilon": (1e-5, 1e-6, 1e-2),
    "n_inner": (None, 48, 128),
    "scale_attn_weights": (True, False),
    "scale_attn_by_inverse_layer_idx": (False, True),
    "reorder_and_upcast_attn": (False, True),
    "n_head": (4, 2),
    "embd_pdrop": (0.1, 0.2),
    "resid_pdrop": (0.1, 0.2),
    "attn_pdrop": (0.1, 0.3),
    "tie_word_embeddings": (True, False),
    "use_cache": (True, False),
    "initializer_range": (0.02, 0.5),
}


def assert_read_or_refused(folder: Path, there: "transformers.GPT2LMHeadModel") -> None:
    """What is read has their logits and their dropout; all else is refused by a field's name."""
    found, refusal = None, ""
    try:
        found = checkpoint.load(folder)
    except VariorumError as error:
        refusal = str(error)
    if found is None:
        assert any(f"{name} is " in refusal for name in FIELDS), refusal
        return
    with torch.no_grad():
        torch.testing.assert_close(found(IDS), there(IDS).logits, rtol=1e-4, atol=1e-4)
    attended = found.settings.attention_dropout
    dropout = found.settings.dropout
    config = there.config
    assert (dropout, dropout) == (config.embd_pdrop, config.resid_pdrop)
    assert (dropout if attended is None else attended) == config.attn_pdrop


CHANGES = [{name: value} for name, values in FIELDS.items() for value in values] + [
    {name: draw.choice(values) for name, values in FIELDS.items() if draw.random() < 0.15}
    for draw in map(random.Random, range(8))
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_any_field_is_read_as_theirs_or_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    there = theirs(**changes)
    there.save_pretrained(tmp_path)
    assert_read_or_refused(tmp_path, there)


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_a_model_of_ours_that_they_changed_is_read_as_theirs_or_refused(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    settings = ModelSettings(n_layer=3, n_head=4, n_embd=32, context_length=16, dropout=0.1)
    model = GPT(settings, VOCAB, seed=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    checkpoint.save(model, tmp_path)
    if changes.get("n_inner") == 48:
        changes = {**changes, "n_inner": 128}  # their loader would need other weights
    there = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, **changes).eval()
    there.save_pretrained(tmp_path / "there")
    assert "variorum" in json.loads((tmp_path / "there/config.json").read_text())
    assert_read_or_refused(tmp_path / "there", there)


def test_their_other_names_of_the_sizes_count(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for name, other in {"n_embd": "hidden_size", "n_layer": "num_hidden_layers"}.items():
        config[other] = config.pop(name)
    path.write_text(json.dumps(config))
    with torch.no_grad():
        torch.testing.assert_close(checkpoint.load(folder)(IDS), theirs()(IDS).logits)


@pytest.mark.parametrize("value", [None, 0, -1, 1.5, "4", True, [4]])
def test_a_size_that_is_no_whole_number_is_refused_by_its_name(folder: Path, value: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "n_head": value}))
    with pytest.raises(VariorumError, match=r"config.json: n_head is .*whole number"):
        checkpoint.load(folder)
