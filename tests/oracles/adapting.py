"""Dynamic evaluation, one token and one weight at a time: `evaluation.dynamic` has to agree."""

import copy
import math

import torch


def dynamic_one_by_one(model, tokens, *, eot, segment, rate, pull):
    """Nats of every token; each from a pass of its own through a copy of the model."""
    context = model.settings.context_length
    model = copy.deepcopy(model).eval()
    trained = [parameter.detach().clone() for parameter in model.parameters()]
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
        pairs = zip(model.parameters(), trained, strict=True)
        learned = [(p, first) for p, first in pairs if p.grad is not None]
        for parameter, _ in learned:
            parameter.grad = parameter.grad.to_dense()
        squares = [value**2 for p, _ in learned for value in p.grad.flatten().tolist()]
        shorter = min(1.0, 1 / math.sqrt(sum(squares))) if sum(squares) else 1.0
        for parameter, first in learned:
            values = parameter.detach().flatten()
            for at in range(parameter.numel()):
                weight, start = values[at].item(), first.flatten()[at].item()
                gradient = parameter.grad.flatten()[at].item()
                values[at] = weight + pull * (start - weight) - rate * shorter * gradient
    return nats
