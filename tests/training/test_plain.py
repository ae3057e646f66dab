"""The loop for reading gives the bits of the loop that is used."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from variorum.config.model_settings import ModelSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.config.training_settings import TrainingSettings
from variorum.model.gpt import GPT
from variorum.tokenizer.kinds import characters
from variorum.training import flat, plain
from variorum.training.batches import Tokens
from variorum.training.loop import Data, Host, Training
from variorum.training.shards import sha256_of

STEPS = 50
TEXT = "".join(f"{i} times {i} is {i * i}. " for i in range(400))
TOKENIZER = characters.train([TEXT], TokenizerSettings(kind="characters"))
TOKENS: Tokens = np.array(TOKENIZER.encode(TEXT), dtype=np.uint16)
CONSTANTS = (
    "warmup_steps",
    "learning_rate",
    "min_learning_rate",
    "beta1",
    "beta2",
    "epsilon",
    "weight_decay",
    "grad_clip",
    "batch_size",
    "shards",
)

Step = tuple[float, str]  # loss, and SHA-256 of the weights after it


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def drawn(seed: int) -> tuple[ModelSettings, TrainingSettings]:
    """Return settings of a small GPT-2 and of its training, drawn at random."""
    choose = random.Random(seed)
    n_head, shards = choose.choice([1, 2, 3]), choose.choice([1, 2, 3, 4])
    model = ModelSettings(
        n_layer=choose.choice([1, 2]),
        n_head=n_head,
        n_embd=n_head * choose.choice([4, 5, 8]),
        context_length=choose.choice([5, 8, 16]),
    )
    rate = 10 ** choose.uniform(-3, -1.5)
    return model, TrainingSettings(
        max_steps=STEPS,
        warmup_steps=choose.choice([0, 3, 20]),
        learning_rate=rate,
        min_learning_rate=rate * choose.uniform(0, 1),
        beta1=choose.uniform(0.5, 0.95),
        beta2=choose.uniform(0.8, 0.999),
        epsilon=10 ** choose.uniform(-9, -7),
        weight_decay=choose.uniform(0, 0.5),
        grad_clip=choose.uniform(0.1, 0.5),
        batch_size=shards * choose.choice([2, 3, 4]),
        shards=shards,
        val_interval=1,
        val_tokens=64,
        sample_tokens=0,
    )


def loops_steps(
    folder: Path, model: ModelSettings, settings: TrainingSettings, seed: int, processes: int
) -> tuple[list[Step], list[float]]:
    """Return what the loop that is used logs of each step, and its gradients' norms."""
    gpt = GPT(model, TOKENIZER.vocab_size, seed)
    host = Host(folder / f"{processes}.safetensors", processes=processes)
    data = Data(TOKENS[:-200], TOKENS[-200:])
    rows = Training(gpt, TOKENIZER, data, settings, seed, host).run().rows[1:]
    steps = [(row["train_loss"], row["weights_sha256"]) for row in rows]
    return steps, [row["gradient_norm"] for row in rows]


def plain_steps(
    patch: pytest.MonkeyPatch,
    model: ModelSettings,
    settings: TrainingSettings,
    seed: int,
    **changes: Any,
) -> list[Step]:
    """Return the steps of the loop for reading, its constants replaced by the settings."""
    constants = {name: getattr(settings, name) for name in ("max_steps", *CONSTANTS)}
    for name, value in (constants | changes).items():
        patch.setattr(plain, name.upper(), value)
    gpt = GPT(model, TOKENIZER.vocab_size, seed)
    layout = flat.Layout.of(gpt)
    losses = plain.train(gpt, TOKENS[:-200], model.context_length, seed)
    return [(loss, sha256_of(flat.gather(layout, gpt))) for loss in losses]


@pytest.mark.parametrize("seed", range(6))
def test_losses_and_weights_of_every_step_are_equal_to_the_bit(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, settings = drawn(seed)
    found = plain_steps(monkeypatch, model, settings, seed)
    assert len(found) == STEPS
    for processes in (1, 2):
        steps, norms = loops_steps(tmp_path, model, settings, seed, processes)
        assert found == steps
        assert any(norm > settings.grad_clip for norm in norms), "nothing was clipped"


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[Step]:
    return loops_steps(tmp_path_factory.mktemp("steps"), *drawn(0), 0, processes=1)[0]


@pytest.mark.parametrize("name", CONSTANTS)
def test_one_changed_constant_is_seen(
    name: str, steps: list[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, settings = drawn(0)
    value = getattr(settings, name)
    changed = value + 1 if isinstance(value, int) else value * 1.01
    assert plain_steps(monkeypatch, model, settings, 0, **{name: changed}) != steps


def test_the_constants_are_the_projects_defaults() -> None:
    defaults = TrainingSettings()
    for name in ("max_steps", *CONSTANTS):
        assert getattr(plain, name.upper()) == getattr(defaults, name), name
