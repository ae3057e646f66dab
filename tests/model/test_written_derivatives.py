"""Operations whose derivatives are written by hand are PyTorch's, composed."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from variorum.config.model_settings import ModelSettings
from variorum.model import cross_entropy
from variorum.model.cross_entropy import mean_cross_entropy
from variorum.model.dropout import Dropout
from variorum.model.feed_forwards.relu_squared import FeedForward
from variorum.model.gelu import gelu
from variorum.model.rms_norm import rms_norm

SMALL = ModelSettings(n_embd=4, n_head=1)


def drawn(draw: torch.Generator, *shape: int, scale: float = 1.0) -> Tensor:
    return (scale * torch.randn(shape, generator=draw)).requires_grad_()


def gradients(function: Callable[..., Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
    """The result, and the gradients of its product with a fixed random tensor."""
    result = function(*inputs)
    draw = torch.Generator().manual_seed(1)
    weighted = (result * torch.randn(result.shape, generator=draw)).sum()
    return result.detach(), *torch.autograd.grad(weighted, inputs)


def activation(x: Tensor) -> Tensor:
    return FeedForward(SMALL).activation(x)


@pytest.mark.parametrize("seed", range(10))
def test_a_norm_and_activations(seed: int) -> None:
    choose, draw = random.Random(seed), torch.Generator().manual_seed(seed)
    shape = tuple(choose.randint(1, 6) for _ in range(choose.randint(1, 4)))
    x = drawn(draw, *shape, 8, scale=10 ** choose.uniform(-3, 2))
    weights = drawn(draw, 8)
    epsilon = 10 ** choose.uniform(-8, -3)
    pairs: list[tuple[Any, Any, tuple[Tensor, ...]]] = [
        (
            lambda x, w: rms_norm(x, epsilon, w),
            lambda x, w: F.rms_norm(x, (8,), w, epsilon),
            (x, weights),
        ),
        (lambda x: rms_norm(x, epsilon), lambda x: F.rms_norm(x, (8,), None, epsilon), (x,)),
        (activation, lambda x: x.relu().square(), (x,)),
        (gelu, lambda x: F.gelu(x, approximate="tanh"), (x,)),
    ]
    for ours, theirs, inputs in pairs:
        for found, expected in zip(
            gradients(ours, *inputs), gradients(theirs, *inputs), strict=True
        ):
            size = float(expected.abs().max())
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * size)


@pytest.mark.parametrize("seed", range(10))
def test_the_cross_entropy_of_a_batch_in_pieces(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    choose, draw = random.Random(seed), torch.Generator().manual_seed(seed)
    monkeypatch.setattr(cross_entropy, "ROWS", choose.randint(1, 12))
    n_tokens, width, vocab = choose.randint(1, 40), choose.randint(1, 9), choose.randint(1, 30)
    features = drawn(draw, n_tokens, width, scale=10 ** choose.uniform(-1, 2))
    weights = drawn(draw, vocab, width)
    targets = torch.randint(0, vocab, (n_tokens,), generator=draw)

    def theirs(features: Tensor, weights: Tensor) -> Tensor:
        return F.cross_entropy(features @ weights.T, targets)

    def ours(features: Tensor, weights: Tensor) -> Tensor:
        return mean_cross_entropy(features, weights, targets)

    for found, expected in zip(
        gradients(ours, features, weights), gradients(theirs, features, weights), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(ours(features, weights), theirs(features, weights))


def test_logits_of_any_size_do_not_overflow() -> None:
    features = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    weights = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    loss = mean_cross_entropy(features, weights, torch.tensor([0, 0]))
    loss.backward()
    assert loss.item() == 1e4
    assert features.grad is not None
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_its_share(share: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(400, 1001, requires_grad=True)
    y = Dropout(share)(x)
    y.sum().backward()
    dropped = float((y == 0).double().mean())
    assert dropped == pytest.approx(share, abs=0.003)
    kept = y[y != 0]
    assert kept.unique().numel() == 1
    assert kept[0].item() == pytest.approx(1 / (1 - share), rel=1e-4)
    assert torch.equal(x.grad, y.detach())  # type: ignore[arg-type]
    rows = (y == 0).double().mean(1)  # the bits of one number do not depend on each other
    assert float(rows.std()) == pytest.approx((share * (1 - share) / 1001) ** 0.5, rel=0.15)


def test_dropout_rests_outside_of_training() -> None:
    x = torch.ones(3, 3)
    assert Dropout(0.5).eval()(x) is x
