"""A model as a folder in Hugging Face's layout: `model.safetensors` and `config.json`.

A model with learned positions and biases is a GPT-2, and its files have GPT-2's names, shapes and
settings. Others are written alike, under the model type "variorum". The settings themselves stand
in `config.json` under "variorum"; what is read there decides.
"""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor

from variorum.config import ModelSettings, canonical, restored
from variorum.errors import VariorumError
from variorum.model.gpt import GPT, INIT_STD

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


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
    """The model that `save` wrote into `folder`, on the CPU and ready to be used (no dropout).

    Raises:
        VariorumError: if a file is missing or damaged, or the two do not belong together.
    """
    settings, vocab_size = _read_config(folder / CONFIG)
    model = GPT(settings, vocab_size)
    tensors = _read_tensors(folder / WEIGHTS)
    parameters = model.state_dict()
    _check_fit(folder / WEIGHTS, parameters, tensors)
    for name, parameter in parameters.items():
        parameter.copy_(_as_in_file(name, tensors[_file_name(name)]))
    return model.eval()


def _file_name(name: str) -> str:
    return "transformer." + name.removeprefix("positions.")


def _as_in_file(name: str, tensor: Tensor) -> Tensor:
    """GPT-2's files hold the matrices of linear layers transposed: (in, out). Its own inverse."""
    linear = name.endswith(("c_attn.weight", "c_fc.weight", "c_proj.weight"))
    return tensor.T if linear else tensor


def _config(settings: ModelSettings, vocab_size: int) -> dict[str, Any]:
    """The content of `config.json`: Hugging Face's fields of GPT-2, and ours."""
    is_gpt2 = settings.positions == "learned" and settings.bias
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
        "attn_pdrop": settings.dropout,
        "resid_pdrop": settings.dropout,
        "tie_word_embeddings": True,
        "bos_token_id": vocab_size - 1,  # <|endoftext|> is the last id of every tokenizer
        "eos_token_id": vocab_size - 1,
        "variorum": canonical(settings),
    }


def _read_config(path: Path) -> tuple[ModelSettings, int]:
    try:
        config = json.loads(path.read_bytes())
        settings = restored(ModelSettings, config["variorum"])
        vocab_size = config["vocab_size"]
    except OSError as error:
        raise VariorumError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["variorum", *map(str, first["loc"])])
        raise VariorumError(
            f"{path}: {where}: {first['msg']}; restore the file or make the model again"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise VariorumError(
            f"{path}: not the config.json of a model that was saved here; it needs the entries "
            '"variorum" and "vocab_size"'
        ) from None
    if type(vocab_size) is not int or vocab_size < 1:
        raise VariorumError(f"{path}: vocab_size is {vocab_size!r}; it must be a whole number")
    return settings, vocab_size


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
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise VariorumError(
                f"{path}: {name} is {_described(found.get(name))}, and {CONFIG} beside it asks for "
                f"{_described(expected.get(name))}; the two files are not of one model"
            )


def _described(tensor: tuple[torch.Size, torch.dtype] | None) -> str:
    if tensor is None:
        return "nothing"
    shape, dtype = tensor
    return f"{tuple(shape)} of {str(dtype).removeprefix('torch.')}"
