"""Warm up linearly, then hold the highest rate to the end."""

from variorum.config.training_settings import TrainingSettings
from variorum.training.warmup import risen


def rate(step: int, settings: TrainingSettings) -> float:
    """Return the learning rate of `step`, counted from 1 to `max_steps`."""
    return risen(step, settings) if step <= settings.warmup_steps else settings.learning_rate
