"""Build models that have learned nothing, to measure beside a trained one."""

import copy

import numpy as np
import torch

from variorum.model.gpt import GPT

SEED = 20160419


def random_model(model: GPT) -> GPT:
    """Return a freshly initialised model of the same architecture, on the same device."""
    fresh = GPT(model.settings, model.vocab_size, SEED)
    return fresh.to(model.wte.weight.device).eval()


def shuffled_model(model: GPT) -> GPT:
    """Return the model with the entries of each of its tensors permuted.

    The sizes of its weights are those that training gave; their places say nothing. The order is
    that of Philox' raw numbers, which NumPy promises not to change.
    """
    shuffled = copy.deepcopy(model).eval()
    with torch.no_grad():
        for number, parameter in enumerate(shuffled.parameters()):
            bits = np.random.Philox(key=np.array([SEED, number], dtype=np.uint64))
            order = np.argsort(bits.random_raw(parameter.numel()), kind="stable")
            places = torch.from_numpy(order).to(parameter.device)
            parameter.copy_(parameter.flatten()[places].view_as(parameter))
    return shuffled
