"""Describe a model: its layers with shapes, and its costs to run and train.

Operations are counted as in Hoffmann et al. 2022, appendix F: a product of matrices takes two for
each number that is multiplied, the backward pass twice as many as the forward pass, and elementwise
operations are left out. Attention counts all T × T pairs, as kernels for short contexts
compute them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from variorum.config.model_settings import ModelSettings
from variorum.model.gpt import GPT

FLOAT = 4  # bytes


@dataclass(frozen=True)
class LayerRow:
    """Describe one layer: name, kind, shapes of its weights, and number of parameters.

    flops: of the forward pass, for one token of a full context.
    """

    name: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    parameters: int
    flops: int


@dataclass(frozen=True)
class Description:
    """Hold the rows of a model, and sums.

    flops: for one token of a full context, forward. cache_bytes: keys and values of one sequence.
    weight_bytes: in float32.
    """

    rows: tuple[LayerRow, ...]
    parameters: int
    embedding_parameters: int
    context_length: int
    flops: int
    weight_bytes: int
    cache_bytes: int

    def training_flops(self, tokens: int) -> int:
        """Return the operations of training on so many tokens: forward, and twice that backward."""
        return 3 * self.flops * tokens

    def training_bytes(self, shards: int, states: int) -> int:
        """Return the bytes of a training without activations, at its end, where they peak.

        A gradient for each shard, and four times the weights: the current ones, the best ones so
        far, the mask of weight decay, and, with a second set of the optimizer's states, the weights
        when the last interval began.
        """
        return self.weight_bytes * (4 + shards + 2 * states)


def describe(model: GPT) -> Description:
    """Describe the layers and costs of `model`."""
    rows = tuple(_rows(model))
    settings = model.settings
    embeddings = sum(row.parameters for row in rows if row.kind == "Embedding")
    return Description(
        rows,
        model.n_parameters,
        embeddings,
        settings.context_length,
        sum(row.flops for row in rows),
        FLOAT * model.n_parameters,
        FLOAT * 2 * settings.n_layer * settings.context_length * settings.n_embd,
    )


def describe_settings(settings: ModelSettings, vocab_size: int) -> Description:
    """Describe a model of these settings, without taking memory for its weights."""
    return describe(outline(settings, vocab_size))


def outline(settings: ModelSettings, vocab_size: int) -> GPT:
    """Return a model of these settings whose parameters have names and shapes, and no values."""
    with torch.device("meta"), _Unfilled():
        return GPT(settings, vocab_size)


class _Unfilled(TorchFunctionMode):
    """Skip initial weights, and make ranges on the CPU.

    On a device without memory PyTorch makes both by operations that import its compiler.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else given["tensor"]
        if func is torch.arange:
            given.setdefault("device", "cpu")
        return func(*args, **given)


def _kind(module: nn.Module) -> str:
    """Return what a layer is called: its class's `kind`, or its class in PyTorch.

    The name of a class of this project decides nothing, so renaming one changes no result.
    """
    own: str | None = getattr(module, "kind", None)
    if own is not None:
        return own
    return next(c.__name__ for c in type(module).__mro__ if c.__module__.startswith("torch."))


def _rows(model: GPT) -> Iterator[LayerRow]:
    settings = model.settings
    for name, module in model.named_modules():
        shapes = tuple(tuple(p.shape) for p in module.parameters(recurse=False))
        products = sum(p.numel() for p in module.parameters(recurse=False) if p.dim() == 2)
        flops = 2 * products if isinstance(module, nn.Linear) else 0
        if shapes:
            count = sum(p.numel() for p in module.parameters(recurse=False))
            yield LayerRow(name, _kind(module), shapes, count, flops)
        elif name.endswith(".attn"):
            mixing = 4 * settings.context_length * settings.n_embd
            yield LayerRow(name, "Attention", (), 0, mixing)
    if settings.tied_head:
        head = model.wte.weight
        yield LayerRow("head", "the embedding again", (tuple(head.shape),), 0, 2 * head.numel())
