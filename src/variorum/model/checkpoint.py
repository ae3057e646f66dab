"""Save and load a model as a folder in Hugging Face's layout.

The files are `model.safetensors` and `config.json`. A model with GPT-2's parts is a GPT-2, and its
files have GPT-2's names, shapes and settings. Other models are written alike, under the model type
"variorum". The settings themselves are in `config.json` under "variorum"; a field of GPT-2 that
says something else is refused. A GPT-2 of another origin has no such entry, and is read by the
fields of Hugging Face's `GPT2Config`.
"""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from variorum.base.errors import VariorumError
from variorum.config.canonical import canonical
from variorum.config.model_settings import ModelSettings
from variorum.model.config_file import beyond_gpt2
from variorum.model.config_file import read as read_config
from variorum.model.given_weights import HEAD, LINEAR, PREFIX, in_one_form, refuse_turned
from variorum.model.gpt import GPT, INIT_STD
from variorum.model.imported_files import CONFIG, INDEX, WEIGHTS, weight_files


def save(model: GPT, folder: Path) -> None:
    """Write the model into `folder`, which exists. Equal models give equal bytes."""
    tensors = {
        _file_name(name): _as_in_file(name, tensor.detach()).cpu().contiguous()
        for name, tensor in model.state_dict().items()
    }
    # more than one entry of metadata would be written in an order that changes
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(tensors, {"format": "pt"}))
    text = json.dumps(_config(model.settings, model.vocab_size), indent=2, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> GPT:
    """Load the model in `folder`, on the CPU and ready to be used (no dropout).

    Either `save` wrote it, or it is a GPT-2 in Hugging Face's layout.

    Raises:
        VariorumError: if a file is missing or damaged, or the two do not belong together.
    """
    settings, vocab_size = read_config(folder / CONFIG)
    model = GPT(settings, vocab_size)
    files = weight_files(folder)
    path = folder / files[0]
    tensors: dict[str, Tensor] = {}
    for name in files:
        if name != INDEX:
            tensors |= _read_tensors(folder / name)
    tensors = in_one_form(tensors, path, tied_head=settings.tied_head)
    parameters = model.state_dict()
    _check_fit(path, parameters, tensors)
    for name, parameter in parameters.items():
        parameter.copy_(_as_in_file(name, tensors[_file_name(name)]))
    return model.eval()


def _file_name(name: str) -> str:
    return name if name == HEAD else PREFIX + name.removeprefix("positions.")


def _as_in_file(name: str, tensor: Tensor) -> Tensor:
    """Transpose the weight matrices of linear layers, which GPT-2's files hold as (in, out).

    It is its own inverse. Other tensors are returned unchanged.
    """
    return tensor.T if name.endswith(LINEAR) else tensor


def _config(settings: ModelSettings, vocab_size: int) -> dict[str, Any]:
    """Return the content of `config.json`: Hugging Face's fields of GPT-2, and ours."""
    is_gpt2 = not beyond_gpt2(settings)
    return {
        "architectures": ["GPT2LMHeadModel" if is_gpt2 else "GPT"],
        "model_type": "gpt2" if is_gpt2 else "variorum",
        "vocab_size": vocab_size,
        "n_layer": settings.n_layer,
        "n_head": settings.n_head,
        "n_embd": settings.n_embd,
        "n_positions": settings.context_length,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "initializer_range": INIT_STD,
        "embd_pdrop": settings.dropout,
        "attn_pdrop": (
            settings.dropout if settings.attention_dropout is None else settings.attention_dropout
        ),
        "resid_pdrop": settings.dropout,
        "tie_word_embeddings": True,
        "bos_token_id": vocab_size - 1,  # <|endoftext|> is the last id of every tokenizer
        "eos_token_id": vocab_size - 1,
        "variorum": canonical(settings),
    }


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(path.read_bytes())
    except OSError as error:
        raise VariorumError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except SafetensorError as error:
        raise VariorumError(
            f"{path}: not a whole safetensors file ({error}); restore it or make the model again"
        ) from None


def _check_fit(path: Path, parameters: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    expected = {
        _file_name(name): (_as_in_file(name, tensor).shape, tensor.dtype)
        for name, tensor in parameters.items()
    }
    refuse_turned({name: shape for name, (shape, _) in expected.items()}, tensors, path)
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            one, other = (_described(each.get(name)) for each in (found, expected))
            remedy = (
                "save it in float32, as by `.float()`"
                if name in expected and name in found and found[name][0] == expected[name][0]
                else "the two files are not of one model"
            )
            raise VariorumError(
                f"{path}: {name} is {one}, and {CONFIG} beside it asks for {other}; {remedy}"
            )


def _described(tensor: tuple[torch.Size, torch.dtype] | None) -> str:
    if tensor is None:
        return "nothing"
    shape, dtype = tensor
    return f"{tuple(shape)} of {str(dtype).removeprefix('torch.')}"
