"""Update by gradient descent with momentum (Sutskever et al. 2013, section 2), and decay."""

from collections.abc import Sequence

from torch import Tensor

from variorum.config.training_settings import TrainingSettings

STATES = ("velocity",)
"""Names of the optimizer's states for each weight; all begin at zero."""


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
    velocity = states[0].mul_(settings.momentum).add_(gradients)
    weights.addcmul_(weights, decayed, value=-rate * settings.weight_decay)
    weights.add_(velocity, alpha=-rate)
