"""The host waits for a GPU when it validates, saves or stops, and at no other place.

`meta` is a device without numbers: reading one from it fails, as a wait on a GPU would not.
"""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from variorum.base.errors import Stopped
from variorum.config.model_settings import ModelSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.config.training_settings import TrainingSettings
from variorum.model.gpt import GPT
from variorum.tokenizer.kinds import characters
from variorum.training import diagnostics
from variorum.training.loop import Data, Host, Training
from variorum.training.team import Team

TEXT = "".join(f"{i} times {i} is {i * i}. " for i in range(200))
TOKENIZER = characters.train([TEXT], TokenizerSettings(kind="characters"))
IDS = np.array(TOKENIZER.encode(TEXT), dtype=np.uint16)
STEPS, INTERVAL = 9, 3


def drawn(seed: int) -> tuple[ModelSettings, TrainingSettings]:
    """Return settings of a model and of its training, drawn at random."""
    choose = random.Random(seed)
    shards, accumulation = choose.choice([1, 2, 3]), choose.choice([1, 2])
    model = ModelSettings(
        n_layer=choose.choice([1, 2]),
        n_head=2,
        n_embd=16,
        context_length=choose.choice([8, 12]),
        positions=choose.choice(["learned", "rotary", "alibi", "none", "sinusoidal"]),
        feed_forward=choose.choice(["gelu", "relu", "relu_squared", "swiglu"]),
        norm=choose.choice(["layer", "rms"]),
        qk_norm=choose.random() < 0.5,
        token_shift=choose.random() < 0.5,
        ngrams=choose.choice([(), (2,), (2, 3)]),
        document_attention=choose.random() < 0.5,
        tied_head=choose.random() < 0.5,
        dropout=choose.choice([0.0, 0.2]),
    )
    return model, TrainingSettings(
        optimizer=choose.choice(["adamw", "adam", "sgd", "muon"]),
        muon_separately=choose.random() < 0.5,
        max_steps=STEPS,
        warmup_steps=1,
        grad_clip=choose.choice([0, 0.5]),
        batch_size=shards * accumulation * 2,
        shards=shards,
        accumulation=accumulation,
        batches=choose.choice(["replacement", "permutation", "sliding"]),
        val_interval=INTERVAL,
    )


def training_on_meta(
    seed: int, folder: Path, patch: pytest.MonkeyPatch, **host: Any
) -> tuple[Training, list[int]]:
    """Return a training on `meta`, and a list that gets the steps at which it would wait."""
    model, settings = drawn(seed)
    here = Host(folder / "state", device="meta", **host)
    data = Data(IDS[:-300], IDS[-300:])
    training = Training(GPT(model, TOKENIZER.vocab_size), TOKENIZER, data, settings, seed, here)
    waited: list[int] = []

    def catch_up() -> None:
        assert [step for step, _, _ in training._unread] == list(
            range((waited[-1] if waited else 0) + 1, training._position.step + 1)
        )
        training._unread.clear()
        waited.append(training._position.step)

    def validate(team: Team, rate: float = 0.0) -> None:
        training._catch_up()
        training._position.rows.append({"step": training._position.step})

    patch.setattr(training, "_catch_up", catch_up)
    patch.setattr(training, "_validate", validate)
    patch.setattr(diagnostics, "Watch", lambda *given: None)
    return training, waited


@pytest.mark.parametrize("seed", range(16))
def test_steps_between_validations_read_nothing(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, waited = training_on_meta(seed, tmp_path, monkeypatch)
    training._steps(Team(0, 1, None))
    assert waited == [0, *range(INTERVAL, STEPS + 1, INTERVAL)]


def test_a_read_at_each_step_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training, _ = training_on_meta(0, tmp_path, monkeypatch)
    compute = training._shards.compute_gradient

    def reading(step: int, shard: int) -> None:
        compute(step, shard)
        float(training._shards.loss)

    monkeypatch.setattr(training._shards, "compute_gradient", reading)
    with pytest.raises(RuntimeError, match="meta"):
        training._steps(Team(0, 1, None))


def test_who_stops_reads_what_was_left_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, waited = training_on_meta(1, tmp_path, monkeypatch, stop_after=4)
    monkeypatch.setattr("variorum.training.state.write", lambda *given: None)
    with pytest.raises(Stopped):
        training._steps(Team(0, 1, None))
    assert waited == [0, INTERVAL, 4]


def test_a_loss_that_is_no_number_is_named_with_its_own_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU's losses are read later than they were computed."""
    model, settings = drawn(2)
    data = Data(IDS[:-300], IDS[-300:])
    host = Host(tmp_path / "state")
    training = Training(GPT(model, TOKENIZER.vocab_size), TOKENIZER, data, settings, 2, host)
    good, bad = torch.tensor(1.0), torch.tensor(torch.nan)
    training._unread = [(5, good, good), (6, bad, good), (7, good, bad)]
    training._position.step = 7
    with pytest.raises(Exception, match="the loss became nan at step 6"):
        training._catch_up()
