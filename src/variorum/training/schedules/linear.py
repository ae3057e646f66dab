"""Warm up linearly, then fall linearly to the lowest rate (BERT, Devlin et al. 2019)."""

from variorum.config.training_settings import TrainingSettings
from variorum.training.warmup import fallen, risen


def rate(step: int, settings: TrainingSettings) -> float:
    """Return the learning rate of `step`, counted from 1 to `max_steps`."""
    if step <= settings.warmup_steps:
        return risen(step, settings)
    share = (step - 1 - settings.warmup_steps) / (settings.max_steps - settings.warmup_steps)
    return fallen(share, settings)
