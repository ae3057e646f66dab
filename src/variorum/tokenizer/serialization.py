"""Read a tokenizer from its `tokenizer.json`, whatever its kind.

A file is accepted only if the tokenizer made from it would be saved as exactly that content. A file
that was changed by hand or by another program is refused, as its ids could differ from the ids of a
program that reads all of it.
"""

import json
from pathlib import Path
from typing import Any

from variorum.base import components
from variorum.base.errors import VariorumError
from variorum.tokenizer.base import Tokenizer

KINDS = "tokenizer/kinds"


def load(path: Path) -> Tokenizer:
    """Read the tokenizer that `path` holds.

    Raises `VariorumError` for a file that is no tokenizer.
    """
    document = _read(path)
    kind = _kind(document)
    if kind not in components.options(KINDS):
        raise VariorumError(
            f"{path}: model.variorum_kind is {kind!r}; this reads the files that the tokenizer "
            f"stage writes, of the kinds {', '.join(components.options(KINDS))}"
        )
    try:
        tokenizer: Tokenizer = components.load(KINDS, kind).from_document(document)
        intact = tokenizer.document() == document
    except (KeyError, TypeError, ValueError, AttributeError):
        intact = False
    if not intact:
        raise VariorumError(
            f"{path}: this is not the vocabulary of a {kind} tokenizer as it was saved; "
            "it was changed or damaged: make it again"
        )
    return tokenizer


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise VariorumError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError) as error:
        raise VariorumError(
            f"{path}: not a tokenizer.json ({error}); give the file that the tokenizer stage wrote"
        ) from None


def _kind(document: Any) -> Any:
    try:
        return document["model"]["variorum_kind"]
    except (KeyError, TypeError, IndexError):
        return None
