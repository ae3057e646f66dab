"""Step matrices inside the blocks in all directions alike, by Muon (Jordan et al. 2024).

The momentum of a matrix is brought near to the closest matrix whose singular values are all 1, by
a few steps of Newton and Schulz's iteration, so that rare directions count as much as common ones.
The step is scaled to the size that Adam's would have (Liu et al. 2025, section 2.2), so one rate
serves both; all else (embeddings, norms, biases) is updated by AdamW.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from variorum.config.training_settings import TrainingSettings
from variorum.training import numerics
from variorum.training.optimizers import adamw

STATES = adamw.STATES
update = adamw.update

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of x, x³ and x⁵: chosen by Jordan for speed.

After five iterations singular values lie between 0.7 and 1.2."""

ADAM_SIZE = 0.2
"""Root mean square of AdamW's usual updates, over the rate (Liu et al. 2025)."""

WIDE = 1.5
"""From this many times as wide as high, the iteration on the square matrix takes less work."""


def update_matrices(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    states: Sequence[Sequence[Tensor]],
    rate: float,
    settings: TrainingSettings,
) -> None:
    """Take one step of matrices of one shape in place.

    weights, gradients and each of the states are as many matrices (m, n).
    """
    ahead = []
    for momentum, gradient in zip(states[0], gradients, strict=True):
        momentum.lerp_(gradient, 1 - settings.momentum)
        ahead.append(torch.lerp(gradient, momentum, settings.momentum))  # Nesterov's
    rate *= settings.matrix_rate
    scale = ADAM_SIZE * max(weights[0].shape) ** 0.5
    with numerics.precision(settings.precision, weights[0].device):
        exact = settings.precision == "fp32"
        steps = orthogonalized(torch.stack(ahead), settings.muon_iterations, exact=exact)
    for matrix, step in zip(weights, steps, strict=True):
        matrix.mul_(1 - rate * settings.weight_decay).add_(step, alpha=-rate * scale)


def orthogonalized(matrices: Tensor, iterations: int, *, exact: bool = True) -> Tensor:
    """Return about U Vᵀ of each matrix U S Vᵀ; zero of zero.

    matrices: (k, m, n), as is the result. exact: products are computed in float32 or better.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalized(matrices.mT, iterations, exact=exact).mT
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)
    wide = x.shape[2] >= WIDE * x.shape[1]
    return _on_squares(x, iterations) if exact and wide else _on_matrices(x, iterations)


def _on_matrices(x: Tensor, iterations: int) -> Tensor:
    """Apply the iteration to x: x <- (a + b S + c S²) x.

    S is x xᵀ.
    """
    a, b, c = COEFFICIENTS
    for _ in range(iterations):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x


def _on_squares(x: Tensor, iterations: int) -> Tensor:
    """Apply the same to S alone, and multiply x by all factors.

    The factor F = a + b S + c S² commutes with S, so S, which is (m, m), becomes F S F. In bf16 the
    squares of small singular values would be lost.
    """
    a, b, c = COEFFICIENTS
    square, product = x @ x.mT, None
    for left in reversed(range(iterations)):
        factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        product = factor if product is None else factor @ product
        if left:
            square = factor @ (square @ factor)
    return x if product is None else product @ x
