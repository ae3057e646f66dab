"""Dynamic evaluation, one token and one weight at a time: `evaluation.dynamic` has to agree."""

import copy
import math

import torch


def dynamic_one_by_one(model, tokens, *, eot, segment, rms, rate, pull):
    """Nats of every token; each from a pass of its own through a copy of the model."""
    context = model.settings.context_length
    model = copy.deepcopy(model).eval()
    trained = [parameter.detach().clone() for parameter in model.parameters()]
    mean = sum(value for each in rms for value in each.flatten().tolist()) / sum(
        each.numel() for each in rms
    )
    stream, nats = [eot, *tokens], []
    segments = [list(range(min(context, len(tokens))))]
    for first in range(context, len(tokens), segment):
        segments.append(list(range(first, min(first + segment, len(tokens)))))
    for places in segments:
        costs = []
        for place in places:
            cuts = 0 if place < context else (place - context) // segment + 1
            seen = torch.tensor([stream[cuts * segment : place + 1]])
            costs.append(-torch.log_softmax(model(seen)[0, -1].double(), 0)[tokens[place]])
        nats += [cost.item() for cost in costs]
        model.zero_grad()
        (sum(costs) / len(costs)).backward()
        for parameter, first, size in zip(model.parameters(), trained, rms, strict=True):
            if parameter.grad is None:
                continue
            values = parameter.detach().flatten()
            for at in range(parameter.numel()):
                weight, start = values[at].item(), first.flatten()[at].item()
                gradient, width = parameter.grad.flatten()[at].item(), size.flatten()[at].item()
                back = min(1.0, pull * width / mean) * (start - weight)
                values[at] = weight - rate * gradient / (width + mean) + back
        assert all(math.isfinite(cost) for cost in nats)
    return nats
