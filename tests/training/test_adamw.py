"""Our AdamW is PyTorch's, weight by weight."""

import torch

from variorum.config import TrainingSettings
from variorum.training.optimizers import adamw


def test_adamw_equals_pytorchs_over_100_steps() -> None:
    torch.manual_seed(0)
    settings = TrainingSettings(weight_decay=0.1, beta1=0.9, beta2=0.95)
    start = torch.randn(50, dtype=torch.float64)
    decayed = (torch.arange(50) < 30).double()
    ours = start.clone()
    states = tuple(torch.zeros(50, dtype=torch.float64) for _ in adamw.STATES)
    matrix, vector = start[:30].clone().requires_grad_(), start[30:].clone().requires_grad_()
    groups = [{"params": [matrix]}, {"params": [vector], "weight_decay": 0.0}]
    peer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    for step in range(1, 101):
        gradient = torch.randn(50, dtype=torch.float64)
        adamw.update(ours, gradient, states, decayed, step, 1e-3, settings)
        matrix.grad, vector.grad = gradient[:30].clone(), gradient[30:].clone()
        peer.step()
    theirs = torch.cat([matrix, vector]).detach()
    # in double precision: what differs beyond rounding is a different formula
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert not torch.equal(ours, start)


def test_a_slice_is_updated_to_the_same_bits_as_the_whole() -> None:
    torch.manual_seed(1)
    settings = TrainingSettings()
    whole, gradient = torch.randn(64), torch.randn(64)
    decayed = torch.ones(64)
    parts = whole.clone()
    states = tuple(torch.zeros(64) for _ in adamw.STATES)
    adamw.update(whole, gradient, states, decayed, 1, 1e-3, settings)
    for part in (slice(0, 32), slice(32, 64)):
        fresh = tuple(torch.zeros(32) for _ in adamw.STATES)
        adamw.update(parts[part], gradient[part], fresh, decayed[part], 1, 1e-3, settings)
    assert torch.equal(whole, parts)
