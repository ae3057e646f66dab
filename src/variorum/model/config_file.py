"""Read a model's `config.json`: one saved here, or a GPT-2 in Hugging Face's layout.

Planning reads it too, so no numerical library is imported here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from variorum.base.errors import VariorumError
from variorum.config.canonical import restored
from variorum.config.model_settings import ModelSettings

GPT2_PARTS = {
    "positions": "learned",
    "feed_forward": "gelu",
    "norm": "layer",
    "norm_position": "before",
    "document_attention": False,
    "qk_norm": False,
    "token_shift": False,
    "ngrams": (),
    "tied_head": True,
    "bias": True,
}
"""Settings that make a model a GPT-2, whatever its size."""

GPT2_FIELDS = {
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "n_inner": None,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "tie_word_embeddings": True,
    "add_cross_attention": False,
}
"""Fields that Hugging Face lets vary and this model does not; an omitted field has this value."""


def beyond_gpt2(settings: ModelSettings) -> dict[str, Any]:
    """Return the settings, with values, that make a model no GPT-2."""
    return {
        name: value
        for name, value in settings.model_dump().items()
        if name in GPT2_PARTS and value != GPT2_PARTS[name]
    }


def read(path: Path) -> tuple[ModelSettings, int]:
    """Read the settings and the vocabulary's size from a `config.json`.

    Raises:
        VariorumError: if there is no such file, or its model differs from what can be built here.
    """
    try:
        config = json.loads(path.read_bytes())
        if "variorum" not in config and config["model_type"] == "gpt2":
            settings = _gpt2_settings(config, path)
        else:
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
            f"{path}: not the config.json of a model that was saved here, or of a GPT-2; it needs "
            'the entries "variorum" and "vocab_size", or the entries of Hugging Face\'s GPT2Config'
        ) from None
    if type(vocab_size) is not int or vocab_size < 1:
        raise VariorumError(f"{path}: vocab_size is {vocab_size!r}; it must be a whole number")
    return settings, vocab_size


def _gpt2_settings(config: Mapping[str, Any], path: Path) -> ModelSettings:
    """Return the settings of a GPT-2 by Hugging Face's fields."""
    for name, value in GPT2_FIELDS.items():
        found = config.get(name, value)
        if found != value and not (name == "n_inner" and found == 4 * config["n_embd"]):
            raise VariorumError(
                f"{path}: {name} is {found!r}; this model can only be read with {value!r}"
            )
    dropout, attended = _dropout(config, path)
    return ModelSettings(
        n_layer=config["n_layer"],
        n_head=config["n_head"],
        n_embd=config["n_embd"],
        context_length=config["n_positions"],
        positions="learned",
        bias=True,
        dropout=dropout,
        attention_dropout=None if attended == dropout else attended,
    )


def _dropout(config: Mapping[str, Any], path: Path) -> tuple[float, float]:
    """Return the dropout of activations and of attention's weights, by default 0.1."""
    embedded, added, attended = (
        config.get(f"{name}_pdrop", 0.1) for name in ("embd", "resid", "attn")
    )
    if embedded != added:
        raise VariorumError(
            f"{path}: embd_pdrop is {embedded} and resid_pdrop {added}; this model has one dropout "
            "for both, so give them the same"
        )
    return added, attended
