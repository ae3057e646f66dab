"""Warm up, hold a plateau, then fall linearly over the last `decay_share` of steps.

Hu et al. 2024 (MiniCPM, section 4) call it WSD. The plateau can be continued, so that one long
training serves several lengths.
"""

from variorum.config.training_settings import TrainingSettings
from variorum.training.warmup import fallen, risen


def rate(step: int, settings: TrainingSettings) -> float:
    """Return the learning rate of `step`, counted from 1 to `max_steps`."""
    if step <= settings.warmup_steps:
        return risen(step, settings)
    length = settings.decay_share * settings.max_steps
    begin = max(settings.warmup_steps, settings.max_steps - length)
    return fallen(max(0.0, (step - begin) / (settings.max_steps - begin)), settings)
