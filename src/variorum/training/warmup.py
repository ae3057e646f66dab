"""Compute what schedules share: the rise of the rate, and a straight fall.

As in nanoGPT, the first step after the warmup has the highest rate, and the lowest is the rate of
the step that would follow the last one. So every step moves, also with a lowest rate of 0.
"""

from variorum.config.training_settings import TrainingSettings


def risen(step: int, settings: TrainingSettings) -> float:
    """Return the rate of a step of the warmup, counted from 1.

    The first step already moves.
    """
    return settings.learning_rate * step / (settings.warmup_steps + 1)


def fallen(share: float, settings: TrainingSettings) -> float:
    """Return the rate after a share, 0 to 1, of the way down."""
    return settings.learning_rate - share * (settings.learning_rate - settings.min_learning_rate)
