"""Steps of a training with gradients of whole tables, row by row: `training.tables` has to agree.

Everything is as one writes it down: PyTorch's own dense gradients of the whole batch, an update of
every weight there is, and then the rows that nobody looked up get back what they had.
"""

import torch
from torch.nn import functional as F

from variorum.base import components


def steps(model, batches, settings, rates):
    """Take a step for each rate; return the parameters by name after the last one.

    batches: what `training.batches` gives. The norm of the gradient counts every weight.
    """
    optimizer = components.load("training/optimizers", settings.optimizer)
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            module.sparse = False
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    states = {n: [torch.zeros_like(p) for _ in optimizer.STATES] for n, p in parameters.items()}
    for step, rate in enumerate(rates, start=1):
        inputs, targets = batches.rows(step, slice(settings.batch_size))
        model.zero_grad()
        F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).backward()
        norm = sum(float((p.grad.double() ** 2).sum()) for p in parameters.values()) ** 0.5
        scale = min(1.0, settings.grad_clip / norm) if settings.grad_clip else 1.0
        for name, parameter in parameters.items():
            tensors = [parameter.data, *states[name]]
            before = [tensor.clone() for tensor in tensors]
            decayed = torch.full_like(parameter, float(parameter.dim() >= 2))
            optimizer.update(
                parameter.data, parameter.grad * scale, states[name], decayed, step, rate, settings
            )
            if "tables" in name:
                still = torch.ones(len(parameter), dtype=torch.bool)
                for row in looked_up(model, inputs, name):
                    still[row] = False
                for tensor, old in zip(tensors, before, strict=True):
                    tensor[still] = old[still]
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def looked_up(model, inputs, name):
    """Return the rows of a table that a batch's tokens look up, token by token."""
    ngrams = model.ngrams
    length = ngrams.lengths[int(name.split(".")[2])]
    seen = []
    table = ngrams.tables[int(name.split(".")[2])]
    hook = table.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    for window in inputs:
        ngrams(window[None], len(window))
    hook.remove()
    assert length <= inputs.shape[1]
    return {int(row) for rows in seen for row in rows.flatten()}
