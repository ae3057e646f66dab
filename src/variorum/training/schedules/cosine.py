"""Warm up linearly, then follow half a cosine down (Loshchilov and Hutter 2017)."""

import math

from variorum.config.training_settings import TrainingSettings
from variorum.training.warmup import fallen, risen


def rate(step: int, settings: TrainingSettings) -> float:
    """Return the learning rate of `step`, counted from 1 to `max_steps`."""
    if step <= settings.warmup_steps:
        return risen(step, settings)
    share = (step - 1 - settings.warmup_steps) / (settings.max_steps - settings.warmup_steps)
    return fallen(0.5 * (1 - math.cos(math.pi * share)), settings)
