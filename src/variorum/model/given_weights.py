"""Bring weights as libraries save a GPT-2 into the one form that is read here.

Takes tensors by the names in a file; returns them by GPT-2's names, in float32. What the change
would have to guess is refused, with the reason.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from variorum.base.errors import VariorumError

PREFIX = "transformer."
HEAD = "lm_head.weight"
EMBEDDING = PREFIX + "wte.weight"
WRAPPERS = ("_orig_mod.", "module.")  # of torch.compile, and of training on several GPUs
MASKS = (".attn.bias", ".attn.masked_bias")  # which some files hold, and no weights
HALVES = (torch.float16, torch.bfloat16)
LINEAR = ("c_attn.weight", "c_fc.weight", "c_proj.weight")


def in_one_form(tensors: Mapping[str, Tensor], path: Path, *, tied_head: bool) -> dict[str, Tensor]:
    """Return the weights of the file at `path` by GPT-2's names, half precision as float32.

    Raises:
        VariorumError: if two of them contradict each other.
    """
    found = {_unwrapped(name): tensor for name, tensor in tensors.items()}
    found = {name: tensor for name, tensor in found.items() if not name.endswith(MASKS)}
    if not any(name.startswith(PREFIX) for name in found):  # as in GPT-2's first files
        found = {name if name == HEAD else PREFIX + name: each for name, each in found.items()}
    found = {n: each.float() if each.dtype in HALVES else each for n, each in found.items()}
    if tied_head and HEAD in found:
        head = found.pop(HEAD)
        embedding = found.setdefault(EMBEDDING, head)
        if not torch.equal(head, embedding):
            raise VariorumError(
                f"{path}: {HEAD} differs from {EMBEDDING}, and config.json beside it asks for one "
                "matrix in both places (tie_word_embeddings); a GPT-2 with a head of its own "
                "cannot be read"
            )
    return found


def refuse_turned(
    expected: Mapping[str, torch.Size], found: Mapping[str, Tensor], path: Path
) -> None:
    """Raise `VariorumError` if the linear layers are stored as (out, in)."""
    oblong = [n for n in expected if n.endswith(LINEAR) and len(set(expected[n])) > 1]
    if oblong and all(n in found and found[n].shape == expected[n][::-1] for n in oblong):
        name = oblong[0]
        raise VariorumError(
            f"{path}: {name} is {tuple(found[name].shape)}, and GPT-2's files hold "
            f"{tuple(expected[name])}: its linear layers are stored as (out, in), as nanoGPT's "
            f"are; transpose all of {', '.join(LINEAR)} before saving"
        )


def _unwrapped(name: str) -> str:
    while name.startswith(WRAPPERS):
        name = name.partition(".")[2]
    return name
