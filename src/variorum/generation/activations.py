"""Compute activations in NumPy, where beginning an operation costs less than in PyTorch.

Each fills `into` (..., read) by `made` (..., made). A feed-forward network that is not listed here
is asked for its own `activation`.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from variorum.generation.folded import Array
from variorum.model.feed_forward import TwoLayers
from variorum.model.gelu import CUBIC, LINEAR

Activate = Callable[[Array, Array], None]


def activate_of(name: str, network: TwoLayers) -> Activate:
    """Return the activation of the feed-forward network that a setting names."""
    return IN_NUMPY.get(name) or partial(_own, network)


def _gelu(made: Array, into: Array) -> None:
    np.multiply(made, made, out=into)
    into *= -CUBIC
    into -= LINEAR
    into *= made  # minus z; see `model.gelu`
    _times_sigmoid(made, into)


def _times_sigmoid(made: Array, into: Array) -> None:
    """Fill with `made` times the sigmoid of minus what it holds."""
    np.exp(into, out=into)
    into += 1
    np.divide(made, into, out=into)


def _relu(made: Array, into: Array) -> None:
    np.maximum(made, 0, out=into)


def _relu_squared(made: Array, into: Array) -> None:
    np.maximum(made, 0, out=into)
    into *= into


def _swiglu(made: Array, into: Array) -> None:
    half = into.shape[-1]
    gates = made[..., :half]
    np.negative(gates, out=into)
    _times_sigmoid(gates, into)
    into *= made[..., half:]


def _own(network: TwoLayers, made: Array, into: Array) -> None:
    with torch.inference_mode():
        np.copyto(into, network.activation(torch.from_numpy(made)).numpy())


IN_NUMPY: dict[str, Activate] = {
    "gelu": _gelu,
    "relu": _relu,
    "relu_squared": _relu_squared,
    "swiglu": _swiglu,
}
