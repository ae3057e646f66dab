"""Copy a model with its tokenizer into a folder that others load.

`transformers` takes the folder with `AutoModelForCausalLM` and `AutoTokenizer`, `tokenizers` the
`tokenizer.json` in it. A saved model lacks only the files that say how the tokenizer is used, and
how texts begin and end; weights, configuration and vocabulary are copied unchanged. With weights of
8 bits the folder is for `model.int8.load`, and any model can be exported so.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError
from variorum.model import checkpoint, int8
from variorum.model.config_file import GPT2_PARTS, beyond_gpt2
from variorum.model.config_file import read as read_config
from variorum.model.imported_files import CONFIG, WEIGHTS
from variorum.tokenizer.base import END_OF_TEXT

TOKENIZER = "tokenizer.json"
COPIED = (WEIGHTS, CONFIG, TOKENIZER)


def export_int8(model: Path, target: Path) -> list[Path]:
    """Write the model in the folder `model` into `target` with weights of 8 bits.

    Configuration and vocabulary are copied unchanged. Returns the files.

    Raises:
        VariorumError: if `target` holds anything, or a weight is no finite number.
    """
    _refuse_what_is_there(target)
    found = checkpoint.load(model)
    target.mkdir(parents=True, exist_ok=True)
    int8.save(found, target)
    for name in (CONFIG, TOKENIZER):
        shutil.copyfile(model / name, target / name)
    return [target / name for name in (int8.WEIGHTS, CONFIG, TOKENIZER)]


def export(model: Path, target: Path) -> list[Path]:
    """Copy the folder `model` into `target`, add the missing files, and return all.

    Raises:
        VariorumError: if `target` holds anything, or the model is no GPT-2.
    """
    settings, vocab_size = read_config(model / CONFIG)
    if beyond := beyond_gpt2(settings):
        named = ", ".join(
            f"model.{name}: {value} (a GPT-2 has {GPT2_PARTS[name]})"
            for name, value in beyond.items()
        )
        raise VariorumError(
            f"{model} is no GPT-2, and transformers would not know it: {named}; "
            "`variorum.open` reads it where it lies, and `--weights int8` exports any model"
        )
    _refuse_what_is_there(target)
    target.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        shutil.copyfile(model / name, target / name)
    written = {
        "tokenizer_config.json": _tokenizer_config(settings.context_length),
        "generation_config.json": _generation_config(vocab_size - 1, settings.context_length),
    }
    for name, content in written.items():
        (target / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return [target / name for name in (*COPIED, *written)]


def _refuse_what_is_there(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise VariorumError(f"{target} is a file; name a new folder")
    if target.is_dir() and any(target.iterdir()):
        raise VariorumError(f"{target} is not empty; name a new folder, or empty it")


def _tokenizer_config(context_length: int) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        # in a text those characters are text like any other, as they are to the tokenizer here
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context_length,
    }


def _generation_config(eot: int, context_length: int) -> dict[str, Any]:
    return {
        "bos_token_id": eot,
        "eos_token_id": eot,
        "pad_token_id": eot,
        "max_length": context_length,  # there are no positions beyond it
    }
