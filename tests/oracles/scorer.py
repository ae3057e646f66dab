"""The scorer, one token at a time: what `evaluation.bits.score` has to agree with."""

import torch


def score_one_by_one(model, tokens, *, eot, stride):
    """Nats of every token, each from a forward pass of its own."""
    context = model.settings.context_length
    stream = [eot, *tokens]  # the token at place i + 1 is predicted from those up to place i
    nats = []
    model.eval()
    for place, target in enumerate(tokens):
        cuts = 0 if place < context else (place - context) // stride + 1
        seen = stream[cuts * stride : place + 1]
        with torch.no_grad():
            logits = model(torch.tensor([seen]))[0, -1].double()
        nats.append(-torch.log_softmax(logits, 0)[target].item())
    return nats
