"""Update by Adam (Kingma and Ba 2015, algorithm 1), with decay in the gradient.

Decay enters the gradient as an L2 penalty does.
"""

from collections.abc import Sequence

from torch import Tensor

from variorum.config.training_settings import TrainingSettings
from variorum.training.optimizers import adamw

STATES = adamw.STATES


def update(
    weights: Tensor,
    gradients: Tensor,
    states: Sequence[Tensor],
    decayed: Tensor,
    step: int,
    rate: float,
    settings: TrainingSettings,
) -> None:
    """Take one step in place; for the arguments see `optimizers.adamw`."""
    gradients.addcmul_(weights, decayed, value=settings.weight_decay)
    adamw.move(weights, gradients, states, step, rate, settings)
