"""Update by AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

Adam (Kingma and Ba 2015) keeps running means of each weight's gradient and of its square, and steps
by their ratio, so that every weight moves at about the learning rate. Decay shrinks weights
directly instead of entering the gradient, where Adam's division would undo it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from variorum.config.training_settings import TrainingSettings

STATES = ("mean", "mean_square")
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
    """Take one step in place.

    weights, gradients, each of states, decayed: (n,), any run of the flattened parameters.
    decayed: 1 where weight decay applies, else 0. step: counted from 1. rate: of this step.
    """
    weights.addcmul_(weights, decayed, value=-rate * settings.weight_decay)
    move(weights, gradients, states, step, rate, settings)


def move(
    weights: Tensor,
    gradients: Tensor,
    states: Sequence[Tensor],
    step: int,
    rate: float,
    settings: TrainingSettings,
) -> None:
    """Take Adam's step itself, without any decay."""
    mean, mean_square = states
    beta1, beta2 = settings.beta1, settings.beta2
    mean.lerp_(gradients, 1 - beta1)
    mean_square.mul_(beta2).addcmul_(gradients, gradients, value=1 - beta2)
    # Both means began at zero; dividing by the weights given so far removes that bias.
    scale = torch.sqrt(mean_square).div_((1 - beta2**step) ** 0.5).add_(settings.epsilon)
    weights.addcdiv_(mean, scale, value=-rate / (1 - beta1**step))
