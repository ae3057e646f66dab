"""Steps of trainings are timed side by side."""

import os
from typing import Any

from variorum.config.model_settings import ModelSettings
from variorum.config.training_settings import FinetuneSettings, TrainingSettings
from variorum.plan import timing
from variorum.plan.timing import MATTER, Steps


def test_every_setting_of_a_training_is_known_to_matter_or_not() -> None:
    """A new one is put on one side: here, or among those that step times depend on."""
    others = {
        *("learning_rate", "min_learning_rate", "warmup_steps", "max_steps", "schedule"),
        *("decay_share", "momentum", "matrix_rate", "beta1", "beta2", "epsilon", "weight_decay"),
        *("grad_clip", "batches", "stride", "patience", "val_interval", "val_tokens"),
        *("selection", "sample_tokens", "replay"),
    }
    assert set(FinetuneSettings.model_fields) == others | set(MATTER)


def test_what_a_step_does_decides_the_entry_and_nothing_else() -> None:
    one = Steps(ModelSettings(), 300, TrainingSettings())
    same = TrainingSettings(learning_rate=5e-3, max_steps=777, schedule="linear", val_interval=9)
    assert Steps(ModelSettings(), 300, same).digest == one.digest
    others = [
        Steps(ModelSettings(n_layer=3), 300, TrainingSettings()),
        Steps(ModelSettings(), 301, TrainingSettings()),
        Steps(ModelSettings(), None, TrainingSettings()),
        Steps(ModelSettings(), 300, TrainingSettings(optimizer="muon")),
        Steps(ModelSettings(), 300, TrainingSettings(batch_size=26)),
    ]
    assert len({one.digest, *(each.digest for each in others)}) == 1 + len(others)


def micro(**model: Any) -> Steps:
    settings = ModelSettings(n_layer=1, n_head=2, n_embd=16, context_length=16, **model)
    return Steps(settings, None, TrainingSettings(batch_size=4, max_steps=30, warmup_steps=0))


def test_steps_are_timed_side_by_side_with_the_processes_of_a_training() -> None:
    processes = min(2, len(os.sched_getaffinity(0)))
    large = Steps(
        ModelSettings(n_layer=4, n_head=4, n_embd=128, context_length=64),
        300,
        TrainingSettings(optimizer="muon", batches="permutation"),
    )
    of_two_texts = FinetuneSettings(batch_size=4, warmup_steps=0, replay=0.5, patience=1)
    dropping = Steps(micro(dropout=0.1).model, 300, of_two_texts)
    asked = [micro(), large, dropping]
    small, slow, tuned = timing.measure(asked, seconds=0.4, rounds=2, processes=processes)
    assert 0 < small.seconds < slow.seconds
    assert small.steps > slow.steps >= 2
    assert small.spread >= 0
    assert 0 < tuned.seconds < slow.seconds
