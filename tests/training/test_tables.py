"""A step costs the rows of a table that its batch looks up, and changes no others."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from oracles import dense_tables
from variorum.config.model_settings import ModelSettings
from variorum.config.training_settings import TrainingSettings
from variorum.model.gpt import GPT
from variorum.training import flat
from variorum.training.batches import Batches, Tokens
from variorum.training.shards import Shards
from variorum.training.tables import Tables
from variorum.training.team import place_of

VOCAB, STEPS = 23, 6
TOKENS: Tokens = np.random.default_rng(0).integers(0, VOCAB, 400).astype(np.uint16)


def drawn(seed: int) -> tuple[ModelSettings, TrainingSettings]:
    """Return settings of a model with tables and of its training, drawn at random."""
    choose = random.Random(seed)
    shards, accumulation = choose.choice([1, 2, 3]), choose.choice([1, 2])
    model = ModelSettings(
        n_layer=1,
        n_head=2,
        n_embd=choose.choice([8, 10, 16]),
        context_length=choose.choice([5, 8]),
        ngrams=tuple(choose.sample([2, 3, 4, 5], choose.randint(1, 3))),
        ngram_buckets=choose.choice([7, 50, 1000]),
        token_shift=choose.random() < 0.5,
    )
    return model, TrainingSettings(
        optimizer=choose.choice(["adamw", "adam", "sgd"]),
        max_steps=STEPS,
        warmup_steps=1,
        weight_decay=choose.uniform(0, 0.5),
        epsilon=1e-5,  # so that rounding decides no sign of a step
        grad_clip=choose.choice([0, 0.05, 100]),
        batch_size=shards * accumulation * choose.choice([1, 2]),
        shards=shards,
        accumulation=accumulation,
    )


def shards_of(model: GPT, settings: TrainingSettings, seed: int) -> Shards:
    batches = Batches(TOKENS, settings, seed, model.settings.context_length)
    shards = Shards(model, settings, batches, seed, place_of(1))
    flat.attach(shards.layout, model, shards.weights)
    return shards


def take_steps(shards: Shards, rates: list[float]) -> None:
    for step, rate in enumerate(rates, start=1):
        shards.begin(step)
        for work in (
            lambda index, step=step: shards.compute_gradient(step, index),
            shards.sum_gradients,
        ):
            for index in range(shards.settings.shards):
                work(index)
        for index in range(shards.settings.shards):
            shards.update(index, step, rate)


@pytest.mark.parametrize("seed", range(24))
def test_weights_are_what_whole_tables_would_give(seed: int) -> None:
    of_model, settings = drawn(seed)
    choose = random.Random(seed)
    rates = [10 ** choose.uniform(-3, -1.5) for _ in range(STEPS)]
    model = GPT(of_model, VOCAB, seed)
    shards = shards_of(model, settings, seed)
    take_steps(shards, rates)
    found = dict(shards.layout.views(shards.weights))
    expected = dense_tables.steps(GPT(of_model, VOCAB, seed), shards.batches, settings, rates)
    assert any(expected[name].any() for name in shards.layout.tables)
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, rtol=1e-3, atol=1e-4)


def test_rows_that_nobody_looks_up_stay_to_the_bit() -> None:
    of_model, settings = drawn(1)
    of_model = of_model.model_copy(update={"ngrams": (2,), "ngram_buckets": 1000})
    model = GPT(of_model, VOCAB, 1)
    with torch.no_grad():
        model.ngrams.tables[0].weight.normal_()  # type: ignore[union-attr,index]
    shards = shards_of(model, settings, 1)
    [name] = shards.layout.tables
    before = shards.layout.view(shards.weights, name).clone()
    take_steps(shards, [0.1] * 2)
    touched: set[int] = set()
    for step in (1, 2):
        ids, _ = shards.batches.rows(step, slice(settings.batch_size))
        touched |= set(model.looked_up(ids)[name].flatten().tolist())
    changed = (shards.layout.view(shards.weights, name) != before).any(1).nonzero().flatten()
    assert set(changed.tolist()) == touched
    for states in shards.states:
        moved = shards.layout.view(states, name).any(1).nonzero().flatten()
        assert set(moved.tolist()) <= touched


def test_the_memory_of_a_gradient_does_not_depend_on_the_size_of_the_table() -> None:
    of_model, settings = drawn(2)

    def length(buckets: int) -> int:
        changed: dict[str, Any] = {"ngrams": (2,), "ngram_buckets": buckets}
        model = GPT(of_model.model_copy(update=changed), VOCAB, 1)
        return shards_of(model, settings, 1).gradients.shape[1]

    assert length(10_000) == length(20_000)


def test_a_frozen_table_has_no_rows(tmp_path: Path) -> None:
    of_model, settings = drawn(3)
    model = GPT(of_model, VOCAB, 1)
    for parameter in model.ngrams.parameters():  # type: ignore[union-attr]
        parameter.requires_grad_(False)
    shards = shards_of(model, settings, 1)
    ids, _ = shards.batches.rows(1, slice(settings.batch_size))
    assert Tables(shards.layout, model).touched(ids) == []
    take_steps(shards, [0.1])
    for name in shards.layout.tables:
        assert not shards.layout.view(shards.weights, name).any()
