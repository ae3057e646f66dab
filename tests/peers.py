"""Models as Hugging Face's libraries make and save them."""

from collections.abc import Iterable
from pathlib import Path

import torch
import transformers  # its names are imported when they are used
from ruamel.yaml import YAML
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from variorum.tokenizer.base import END_OF_TEXT

SIZE = {"n_layer": 1, "n_head": 2, "n_embd": 16, "n_positions": 16}


def byte_level_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE as GPT-2 has it, learned by `tokenizers`; `<|endoftext|>` is its last id."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([END_OF_TEXT])
    return tokenizer


def save_gpt2(folder: Path, texts: Iterable[str], vocab_size: int = 300, **size: int) -> None:
    """A GPT-2 with random weights and its tokenizer, saved by their libraries."""
    tokenizer = byte_level_tokenizer(texts, vocab_size)
    torch.manual_seed(4)
    eot = tokenizer.get_vocab_size() - 1
    settings = {**SIZE, "vocab_size": eot + 1, "bos_token_id": eot, "eos_token_id": eot, **size}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**settings)).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def import_gpt2(root: Path) -> None:
    """Let the micro experiment of the project at `root` begin with a GPT-2 of theirs."""
    texts = [path.read_text() for path in sorted((root / "texts/base").iterdir())]
    save_gpt2(root / "models/gpt2", texts)
    file = root / "config/experiments/micro.yaml"
    settings = YAML(typ="safe").load(file)
    for section in ("tokenizer", "model", "pretrain"):
        del settings[section]
    YAML().dump({**settings, "imported": {"path": "models/gpt2"}}, file)
