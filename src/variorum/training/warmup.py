"""What schedules have in common: the rise of the rate, and a straight fall."""

from variorum.config.training_settings import TrainingSettings


def risen(step: int, settings: TrainingSettings) -> float:
    """The rate of a step of the warmup, counted from 1; its first step already moves."""
    return settings.learning_rate * step / (settings.warmup_steps + 1)


def fallen(share: float, settings: TrainingSettings) -> float:
    """The rate after a share (0 to 1) of the way from the highest to the lowest."""
    high, low = settings.learning_rate, settings.min_learning_rate
    return high * (1 - share) + low * share
