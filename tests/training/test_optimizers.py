"""Our optimizers are PyTorch's, weight by weight."""

import random
from collections.abc import Callable, Iterable
from types import ModuleType

import pytest
import torch
from torch import Tensor

from variorum.config.training_settings import TrainingSettings
from variorum.training.optimizers import adam, adamw, muon, sgd

RATE = 1e-3
SETTINGS = TrainingSettings(
    weight_decay=0.1, beta1=0.9, beta2=0.95, epsilon=1e-8, momentum=0.9, optimizer="adamw"
)
DECAYED = (torch.arange(50) < 30).double()

Peer = Callable[[Iterable[Tensor], float], torch.optim.Optimizer]


def adamw_of_pytorch(weights: Iterable[Tensor], decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(weights, lr=RATE, betas=(0.9, 0.95), eps=1e-8, weight_decay=decay)


def adam_of_pytorch(weights: Iterable[Tensor], decay: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, lr=RATE, betas=(0.9, 0.95), eps=1e-8, weight_decay=decay)


def sgd_of_pytorch(weights: Iterable[Tensor], decay: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(weights, lr=RATE, momentum=0.9)


@pytest.mark.parametrize(
    ("ours", "peer", "settings"),
    [
        (adamw, adamw_of_pytorch, SETTINGS),
        (muon, adamw_of_pytorch, SETTINGS),  # of all that is no matrix inside a block
        (adam, adam_of_pytorch, SETTINGS),
        (sgd, sgd_of_pytorch, SETTINGS.model_copy(update={"weight_decay": 0.0})),
    ],
    ids=["adamw", "muon", "adam", "sgd"],
)
def test_it_equals_pytorchs_over_100_steps(
    ours: ModuleType, peer: Peer, settings: TrainingSettings
) -> None:
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(50, dtype=torch.float64, generator=draw)
    weights = start.clone()
    states = tuple(torch.zeros(50, dtype=torch.float64) for _ in ours.STATES)
    matrix, vector = start[:30].clone().requires_grad_(), start[30:].clone().requires_grad_()
    peers = [peer([matrix], settings.weight_decay), peer([vector], 0.0)]
    for step in range(1, 101):
        gradient = torch.randn(50, dtype=torch.float64, generator=draw)
        ours.update(weights, gradient.clone(), states, DECAYED, step, RATE, settings)
        matrix.grad, vector.grad = gradient[:30].clone(), gradient[30:].clone()
        for each in peers:
            each.step()
    theirs = torch.cat([matrix, vector]).detach()
    # in double precision: what differs beyond rounding is a different formula
    torch.testing.assert_close(weights, theirs, rtol=1e-12, atol=1e-12)
    assert not torch.equal(weights, start)


def test_sgd_decays_without_the_gradient() -> None:
    weights, gradient = torch.ones(50, dtype=torch.float64), torch.zeros(50, dtype=torch.float64)
    sgd.update(weights, gradient, (gradient.clone(),), DECAYED, 1, RATE, SETTINGS)
    torch.testing.assert_close(weights, 1 - RATE * 0.1 * DECAYED)


@pytest.mark.parametrize("ours", [adamw, adam, sgd, muon], ids=["adamw", "adam", "sgd", "muon"])
def test_a_slice_is_updated_to_the_same_bits_as_the_whole(ours: ModuleType) -> None:
    draw = torch.Generator().manual_seed(1)
    whole, gradient = torch.randn(2, 64, generator=draw)
    decayed, parts = torch.ones(64), whole.clone()
    states = tuple(torch.zeros(64) for _ in ours.STATES)
    ours.update(whole, gradient.clone(), states, decayed, 1, RATE, SETTINGS)
    for part in (slice(0, 32), slice(32, 64)):
        fresh = tuple(torch.zeros(32) for _ in ours.STATES)
        ours.update(parts[part], gradient[part].clone(), fresh, decayed[part], 1, RATE, SETTINGS)
    assert torch.equal(whole, parts)


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (16, 16), (1, 5)], ids=str)
def test_muon_equals_pytorchs_on_matrices(shape: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(2)
    ours = torch.randn(shape, generator=draw)
    theirs = ours.clone().requires_grad_()
    states = [[torch.zeros(shape)] for _ in muon.STATES]
    peer = torch.optim.Muon(
        [theirs], lr=RATE, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    )
    start = ours.clone()
    for _ in range(50):
        gradient = torch.randn(shape, generator=draw)
        muon.update_matrices([ours], [gradient.clone()], states, RATE, SETTINGS)
        theirs.grad = gradient
        peer.step()
    moved, expected = ours - start, theirs.detach() - start
    # the peer iterates in bf16, which has 8 bits
    assert (moved - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize("shape", [(24, 8), (8, 24), (16, 16)], ids=str)
def test_an_orthogonalized_matrix_keeps_its_directions_and_levels_their_sizes(
    shape: tuple[int, int],
) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    u, sizes, vt = torch.linalg.svd(matrix, full_matrices=False)
    found = u.T @ muon.orthogonalized(matrix[None], 5)[0] @ vt.T
    assert sizes.max() / sizes.min() > 2
    assert found.diagonal().min() > 0.6
    assert found.diagonal().max() < 1.3
    torch.testing.assert_close(found, torch.diag(found.diagonal()), rtol=0, atol=1e-9)


def test_no_gradient_moves_no_matrix() -> None:
    weights = torch.ones(4, 6)
    states = [[torch.zeros(4, 6)] for _ in muon.STATES]
    still = SETTINGS.model_copy(update={"weight_decay": 0.0})
    muon.update_matrices([weights], [torch.zeros(4, 6)], states, RATE, still)
    assert torch.equal(weights, torch.ones(4, 6))


def newton_schulz(matrix: Tensor, iterations: int) -> Tensor:
    """Iterate on one matrix as Jordan et al. write it."""
    a, b, c = muon.COEFFICIENTS
    x = matrix / (matrix.norm() + 1e-7)
    for _ in range(iterations):
        x = a * x + b * (x @ x.T @ x) + c * (x @ x.T @ x @ x.T @ x)
    return x


@pytest.mark.parametrize("seed", range(12))
def test_all_ways_to_iterate_give_what_the_formula_says(seed: int) -> None:
    choose = random.Random(seed)
    shape = choose.randint(1, 4), choose.randint(1, 12), choose.randint(1, 40)
    iterations = choose.randint(1, 6)
    draw = torch.Generator().manual_seed(seed)
    matrices = torch.randn(shape, generator=draw, dtype=torch.float64)
    expected = torch.stack([newton_schulz(matrix, iterations) for matrix in matrices])
    found = muon.orthogonalized(matrices, iterations)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_iterating_on_squares_is_exact_enough_in_fp32_for_small_singular_values() -> None:
    draw = torch.Generator().manual_seed(5)
    u, _ = torch.linalg.qr(torch.randn(32, 32, generator=draw, dtype=torch.float64))
    v, _ = torch.linalg.qr(torch.randn(128, 32, generator=draw, dtype=torch.float64))
    matrix = u @ torch.diag(torch.logspace(0, -5, 32, dtype=torch.float64)) @ v.T
    found = muon.orthogonalized(matrix.float()[None], 5)[0].double()
    torch.testing.assert_close(found, newton_schulz(matrix, 5), rtol=0, atol=1e-3)


def test_matrices_in_one_stack_do_not_change_each_other() -> None:
    draw = torch.Generator().manual_seed(6)
    first, second, other = torch.randn(3, 8, 24, generator=draw)
    found = muon.orthogonalized(torch.stack([first, second]), 5)
    assert torch.equal(found[0], muon.orthogonalized(torch.stack([first, other]), 5)[0])
    assert not torch.equal(found[1], muon.orthogonalized(torch.stack([first, other]), 5)[1])
