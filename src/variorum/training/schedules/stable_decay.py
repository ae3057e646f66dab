"""Warm up, hold a plateau, then fall linearly over the last `decay_share` of steps.

Hu et al. 2024 (MiniCPM, section 4) call it WSD. The plateau can be continued, so that one long
training serves several lengths. A share of one step or less leaves it to the end.
"""

from variorum.config.training_settings import TrainingSettings
from variorum.training.warmup import fallen, risen


def rate(step: int, settings: TrainingSettings) -> float:
    """Return the learning rate of `step`, counted from 1 to `max_steps`."""
    if step <= settings.warmup_steps:
        return risen(step, settings)
    begin = settings.max_steps - settings.decay_share * settings.max_steps
    begin = max(settings.warmup_steps, begin)
    if step - 1 <= begin:
        return settings.learning_rate
    return fallen((step - 1 - begin) / (settings.max_steps - begin), settings)
