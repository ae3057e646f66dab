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
from variorum.training.optimizers import adamw

STATES = adamw.STATES
update = adamw.update

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of x, x³ and x⁵: chosen by Jordan for speed; singular values end between 0.7 and 1.2."""

ITERATIONS = 5
ADAM_SIZE = 0.2
"""Root mean square of AdamW's usual updates, over the rate (Liu et al. 2025)."""


def update_matrix(
    weights: Tensor,
    gradients: Tensor,
    states: Sequence[Tensor],
    rate: float,
    settings: TrainingSettings,
) -> None:
    """Take one step of a matrix in place; weights, gradients and states are (m, n)."""
    momentum = states[0].lerp_(gradients, 1 - settings.momentum)
    ahead = torch.lerp(gradients, momentum, settings.momentum)  # Nesterov's
    rate *= settings.matrix_rate
    weights.mul_(1 - rate * settings.weight_decay)
    scale = ADAM_SIZE * max(weights.shape) ** 0.5
    weights.add_(orthogonalized(ahead), alpha=-rate * scale)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return approximately U Vᵀ of a matrix U S Vᵀ (m, n); zero of zero."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
