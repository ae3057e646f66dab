"""Check which parts a fine-tuning freezes before its pretraining runs.

Only the model itself knows the names of its parameters, and building it imports PyTorch; so that
happens where something is frozen, and planning stays fast elsewhere.
"""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from pydantic import ValidationError

from variorum.config.canonical import restored
from variorum.config.model_settings import ModelSettings


def check_frozen(model: Mapping[str, Any], freeze: tuple[str, ...]) -> None:
    """Raise `VariorumError` if a model of these canonical settings lacks a part to freeze.

    The same holds if nothing is left to train. Settings of an older model that are unknown now say
    nothing of its parts; they are checked when it is read.
    """
    if freeze:
        with suppress(ValidationError):
            _check(restored(ModelSettings, dict(model)), freeze)


@cache
def _check(settings: ModelSettings, freeze: tuple[str, ...]) -> None:
    from variorum.model.description import outline
    from variorum.training import flat

    flat.freeze(outline(settings, vocab_size=1), freeze)
