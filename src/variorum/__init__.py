"""Train a small GPT from raw text, fine-tune it and stress-test it, to the bit.

import variorum
opened = variorum.open()         # the current fine-tuned model and its tokenizer
table = variorum.runs()          # a DataFrame: settings, metrics, cost and key of every model
"""

from typing import Any

__all__ = ["open", "runs"]


def __getattr__(name: str) -> Any:
    """Import the library when it is used: planning needs no PyTorch."""
    if name not in __all__:
        raise AttributeError(f"module 'variorum' has no attribute {name!r}")
    from variorum import api

    return getattr(api, name)
