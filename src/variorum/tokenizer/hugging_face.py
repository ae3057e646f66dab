"""Read a tokenizer of GPT-2's kind from Hugging Face's files, which others wrote.

Takes the folder of a model, returns a `BytePairTokenizer` with the same ids for every text of
Unicode 14 (docs/tokenizers.md). The files are `tokenizer.json`, or `vocab.json` and `merges.txt`
where it is absent. Whatever such a file may ask for and this tokenizer cannot do is refused
by name.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from variorum.base.errors import VariorumError
from variorum.tokenizer.base import END_OF_TEXT
from variorum.tokenizer.kinds import bpe

WHOLE = "tokenizer.json"
PARTS = ("vocab.json", "merges.txt")
USE = "tokenizer_config.json"  # describes the use of the others; may be absent
PREFIX_SPACE = "add_prefix_space"
ADDED_FILE = "added_tokens.json"

ADDING = {
    PREFIX_SPACE: "a space before a text",
    "add_bos_token": "a token before each text",
    "add_eos_token": "a token behind each text",
}
"""What adds to each text, in the file that describes the use; GPT-2 adds nothing."""
SPECIAL = ("bos", "eos", "unk", "pad", "sep", "cls", "mask")
CLASSES = (
    None,
    "GPT2Tokenizer",
    "GPT2TokenizerFast",
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
)

MODEL = {
    "type": "BPE",
    "dropout": None,
    "continuing_subword_prefix": "",
    "end_of_word_suffix": "",
    "byte_fallback": False,
    "ignore_merges": False,
}
"""GPT-2's values of all else that decides ids; null is as good as \"\"."""


def files_of(folder: Path) -> list[str]:
    """Return the names of the files that the tokenizer in `folder` is read from."""
    names = [WHOLE] if (folder / WHOLE).is_file() else list(PARTS)
    return [*names, *([USE] if (folder / USE).is_file() else [])]


def load(folder: Path) -> bpe.BytePairTokenizer:
    """Read the tokenizer of the model in `folder`.

    Raises:
        VariorumError: if a file is missing or damaged, or its ids could differ here.
    """
    for name, refuse in ((USE, _refuse_other_use), (ADDED_FILE, _refuse_other_tokens)):
        if (folder / name).is_file():
            refuse(folder / name, _json(folder / name))
    if (folder / WHOLE).is_file():
        path = folder / WHOLE
        vocabulary, merges = _of_whole(path, _json(path))
    else:
        path = folder / PARTS[0]
        vocabulary, merges = _json(path), _merges(folder / PARTS[1])
    return _tokenizer(path, vocabulary, merges)


def _refuse_other_use(path: Path, use: Any) -> None:
    """Raise `VariorumError` for any use that would give other ids than GPT-2's."""
    if not isinstance(use, dict):
        raise _refused(path, "it holds no fields")
    for name, what in ADDING.items():
        if use.get(name):
            raise _refused(path, f"{name} is true: {what}; GPT-2 adds nothing")
    if use.get("tokenizer_class") not in CLASSES:
        raise _refused(path, f"tokenizer_class is {use['tokenizer_class']!r}, not GPT-2's")
    for name in SPECIAL:
        _refuse_other_tokens(path, [use.get(f"{name}_token")], f"{name}_token")
    for name in ("additional_special_tokens", "extra_special_tokens", "added_tokens_decoder"):
        _refuse_other_tokens(path, use.get(name), name)


def _refuse_other_tokens(path: Path, tokens: Any, name: str = "it") -> None:
    """Raise `VariorumError` if one of these tokens is not GPT-2's only special one.

    Tokens are texts, or objects with the text as `content`, in a list or by any name.
    """
    if isinstance(tokens, dict):
        tokens = list(tokens if path.name == ADDED_FILE else tokens.values())
    if not isinstance(tokens, (list, type(None))):
        raise _refused(path, f"{name} is {tokens!r}, no list of tokens")
    for token in tokens or ():
        text = token.get("content") if isinstance(token, dict) else token
        if text not in (None, END_OF_TEXT):
            raise _refused(path, f"{name} names the token {text!r}; GPT-2 has {END_OF_TEXT} alone")


def _of_whole(path: Path, document: Any) -> tuple[Any, list[str]]:
    """Return vocabulary and merges of a `tokenizer.json`, if all else is as in GPT-2's."""
    try:
        _refuse_other_steps(path, document)
        model = document["model"]
        for name, expected in MODEL.items():
            found = model.get(name)
            if found != expected and found is not None:
                raise _refused(path, f"model.{name} is {found!r}; GPT-2's is {expected!r}")
        added = {token["content"]: token["id"] for token in document["added_tokens"] or ()}
        if other := [token for token in added if token != END_OF_TEXT]:
            raise _refused(path, f"it adds the token {other[0]!r}; GPT-2 adds {END_OF_TEXT} alone")
        merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
        return {**model["vocab"], **added}, merges
    except (KeyError, TypeError, AttributeError):
        raise _refused(path, "it is not a tokenizer.json of byte-level BPE") from None


def _refuse_other_steps(path: Path, document: Mapping[str, Any]) -> None:
    """Raise `VariorumError` for any step around the merges that is not GPT-2's."""
    if document.get("normalizer") is not None:
        raise _refused(path, "it has a normalizer; GPT-2 has none")
    cut = document["pre_tokenizer"]
    if cut["type"] != "ByteLevel" or cut.get(PREFIX_SPACE, True) or not cut.get("use_regex", True):
        raise _refused(
            path, f"pre_tokenizer is {json.dumps(cut)}; GPT-2's is ByteLevel without a prefix space"
        )
    after = document.get("post_processor")
    if after is not None and after["type"] != "ByteLevel" and not _adds_nothing(after):
        raise _refused(path, f"its post_processor is {after['type']}, which adds tokens")


def _adds_nothing(template: Mapping[str, Any]) -> bool:
    """Return whether a template is the text alone, as `transformers` writes it for GPT-2."""
    return [set(piece) for piece in template.get("single", ())] == [{"Sequence"}]


def _merges(path: Path) -> list[str]:
    lines = _text(path).split("\n")
    return [line for line in lines[lines[0].startswith("#version") :] if line]


def _tokenizer(path: Path, vocabulary: Any, merges: list[str]) -> bpe.BytePairTokenizer:
    try:
        tokenizer = bpe.from_document({"model": {"merges": merges}})
    except (KeyError, ValueError) as error:
        raise _refused(path, f"its merges do not build on each other ({error})") from None
    own = tokenizer.document()["model"]["vocab"]
    if vocabulary == own:
        return tokenizer
    if not isinstance(vocabulary, dict):
        raise _refused(path, "it holds no vocabulary")
    if vocabulary.get(END_OF_TEXT) != tokenizer.eot:
        raise _refused(
            path,
            f"the id of {END_OF_TEXT} is {vocabulary.get(END_OF_TEXT, 'missing')}; it has to be "
            f"the last, {tokenizer.eot}, as in GPT-2",
        )
    name = next(name for name in (*own, *vocabulary) if vocabulary.get(name) != own.get(name))
    raise _refused(
        path,
        f"the id of {name!r} is {vocabulary.get(name, 'missing')}, and GPT-2's order of bytes and "
        f"merges gives {own.get(name, 'none')}",
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise VariorumError(f"{path}: not JSON ({error}); restore the file") from None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise VariorumError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise VariorumError(f"{path}: not UTF-8; restore the file") from None


def _refused(path: Path, what: str) -> VariorumError:
    return VariorumError(f"{path}: {what}; only tokenizers of GPT-2's kind can be imported")
