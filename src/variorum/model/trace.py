"""Trace every intermediate of one forward pass by name, for learning and for figures.

Names are the modules' names: `wte`, `h.0.ln_1`, `h.0.attn.c_attn`, ..., `ln_f`. Also
`embedded` (what the first block reads), for each layer `h.0.attn.queries`, `.keys` and `.values`
(with their positions), `.weights` and `.mixed`, `h.0.mlp.activation`, and `logits`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from variorum.model.attentions import written_out

if TYPE_CHECKING:
    from variorum.model.attention import Attention


def trace(
    model: nn.Module,
    ids: Tensor,
    embedding: nn.Module,
    layers: Iterable[tuple[Attention, nn.Module]],
) -> dict[str, Tensor]:
    """Return what `model` computes of ids (B, T), without dropout, in the order of computing.

    `embedding` returns what the first block reads; `layers` are the attention of each block and the
    projection behind its activation. Attention is computed written out, so its weights are exactly
    the ones that made these logits.
    """
    found: dict[str, Tensor] = {"ids": ids}
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), ExitStack() as stack:
            for name, module in model.named_modules():
                stack.callback(module.register_forward_hook(_output(found, name)).remove)
            stack.callback(embedding.register_forward_hook(_output(found, "embedded")).remove)
            for layer, (attention, projection) in enumerate(layers):
                name = f"h.{layer}"
                inner = projection.register_forward_pre_hook(_input(found, f"{name}.mlp"))
                stack.callback(inner.remove)
                stack.enter_context(_written_out(attention, found, f"{name}.attn"))
            found["logits"] = model(ids)
    finally:
        model.train(training)
    return {name: tensor for name, tensor in found.items() if not name.endswith("drop")}


def _output(found: dict[str, Tensor], name: str) -> Callable[..., None]:
    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        if name:
            found[name] = output

    return note


def _input(found: dict[str, Tensor], name: str) -> Callable[..., None]:
    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[f"{name}.activation"] = inputs[0]

    return note


@contextmanager
def _written_out(attention: Attention, found: dict[str, Tensor], name: str) -> Iterator[None]:
    """Have a layer's attention written out, and note its parts."""

    def attend(
        queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, dropout: float
    ) -> Tensor:
        weights = written_out.weights(queries, keys, mask)
        mixed = weights @ values
        parts = {"queries": queries, "keys": keys, "values": values}
        found.update({f"{name}.{part}": tensor for part, tensor in parts.items()})
        found.update({f"{name}.weights": weights, f"{name}.mixed": mixed})
        return mixed

    own, attention.attend = attention.attend, attend
    try:
        yield
    finally:
        attention.attend = own
