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

GPT2_FIELDS: Mapping[str, tuple[Any, ...]] = {
    # the first is what is written; the others are the same function
    "activation_function": (
        "gelu_new",
        "gelu_pytorch_tanh",
        "gelu_python_tanh",
        "gelu_fast",
        "gelu_accurate",
    ),
    "layer_norm_epsilon": (1e-5,),
    "n_inner": (None,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "tie_word_embeddings": (True,),
    "add_cross_attention": (False,),
    "pruned_heads": (None, {}),
    "quantization_config": (None,),
}
"""Fields that Hugging Face lets vary and this model does not, with the values that can be read.

An omitted field has the first of them.
"""

GPT2_SIZES = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024}
"""Fields of the size, with the values that an omitted one has."""

SIZE_ALIASES = {
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
}
"""Names that Hugging Face takes for these fields as well."""

DROPOUTS = ("embd_pdrop", "resid_pdrop", "attn_pdrop")


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
        VariorumError: if there is no such file, its model differs from what can be built here, or
            its entry "variorum" and Hugging Face's fields are not of one model.
    """
    config = _json(path)
    kind = config.get("model_type")
    if "variorum" not in config and kind != "gpt2":
        raise _no_model(path, f"its model_type is {kind!r}")
    if "vocab_size" not in config:
        raise _no_model(path, "it has no vocab_size")
    vocab_size = config.get("vocab_size")
    if type(vocab_size) is not int or vocab_size < 1:
        raise VariorumError(f"{path}: vocab_size is {vocab_size!r}; it must be a whole number")
    try:
        if "variorum" not in config:
            return _gpt2_settings(config, path), vocab_size
        settings = restored(ModelSettings, config["variorum"])
    except ValidationError as error:
        first = error.errors()[0]
        place = (*(["variorum"] if "variorum" in config else []), *map(str, first["loc"]))
        name = f"{'.'.join(place)}: " if place else ""
        raise VariorumError(
            f"{path}: {name}{first['msg']}; restore the file or make the model again"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise VariorumError(
            f'{path}: the entry "variorum" holds no settings of a model; restore the file or make '
            "the model again"
        ) from None
    _refuse_contradictions(config, settings, path)
    return settings, vocab_size


def _json(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise VariorumError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError) as error:
        raise _no_model(path, f"it is not JSON ({error})") from None
    if not isinstance(config, dict):
        raise _no_model(path, "it holds no fields")
    return config


def _no_model(path: Path, found: str) -> VariorumError:
    return VariorumError(
        f"{path}: not the config.json of a model that was saved here, or of a GPT-2: {found}; it "
        'needs the entries "variorum" and "vocab_size", or the entries of Hugging Face\'s '
        "GPT2Config"
    )


def _refuse_contradictions(config: Mapping[str, Any], settings: ModelSettings, path: Path) -> None:
    """Raise `VariorumError` where a field says something else than the entry "variorum".

    Libraries keep that entry when they change a model, and know nothing of it.
    """
    sizes = {
        "n_layer": settings.n_layer,
        "n_head": settings.n_head,
        "n_embd": settings.n_embd,
        "n_positions": settings.context_length,
    }
    dropout, attended = settings.dropout, settings.attention_dropout
    single = {
        "model_type": "variorum" if beyond_gpt2(settings) else "gpt2",
        **sizes,
        **{alias: sizes[name] for alias, name in SIZE_ALIASES.items()},
        **dict.fromkeys(DROPOUTS, dropout),
        "attn_pdrop": dropout if attended is None else attended,
    }
    fields = {**{name: (value,) for name, value in single.items()}, **GPT2_FIELDS}
    for name, values in fields.items():
        found = config.get(name, values[0])
        if found not in values and not _is_usual_width(name, found, settings.n_embd):
            raise VariorumError(
                f'{path}: {name} is {found!r}, and the entry "variorum" asks for {values[0]!r}: '
                "the file was changed since the model was saved here; set "
                f'{name} back, or remove the entry "variorum" to have the other fields read'
            )


def _is_usual_width(name: str, found: Any, n_embd: Any) -> bool:
    return name == "n_inner" and found == 4 * n_embd


def _gpt2_settings(config: Mapping[str, Any], path: Path) -> ModelSettings:
    """Return the settings of a GPT-2 by Hugging Face's fields."""
    sizes = {name: config.get(name, value) for name, value in GPT2_SIZES.items()}
    sizes |= {name: config[alias] for alias, name in SIZE_ALIASES.items() if alias in config}
    for name, size in sizes.items():
        least = 2 if name == "n_positions" else 1
        if type(size) is not int or size < least:
            raise VariorumError(
                f"{path}: {name} is {size!r}; it must be a whole number, {least} or more"
            )
    for name, values in GPT2_FIELDS.items():
        found = config.get(name, values[0])
        if found not in values and not _is_usual_width(name, found, sizes["n_embd"]):
            raise VariorumError(
                f"{path}: {name} is {found!r}; this model can only be read with {values[0]!r}"
            )
    dropout, attended = _dropout(config, path)
    return ModelSettings(
        n_layer=sizes["n_layer"],
        n_head=sizes["n_head"],
        n_embd=sizes["n_embd"],
        context_length=sizes["n_positions"],
        positions="learned",
        bias=True,
        dropout=dropout,
        attention_dropout=None if attended == dropout else attended,
    )


def _dropout(config: Mapping[str, Any], path: Path) -> tuple[float, float]:
    """Return the dropout of activations and of attention's weights, by default 0.1."""
    embedded, added, attended = (config.get(name, 0.1) for name in DROPOUTS)
    if embedded != added:
        raise VariorumError(
            f"{path}: embd_pdrop is {embedded} and resid_pdrop {added}; this model has one dropout "
            "for both, so give them the same"
        )
    return added, attended
