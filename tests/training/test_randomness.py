"""Every random draw is a function of the seed and its place, never of what was drawn before it."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import ROOT
from variorum.base.errors import Stopped
from variorum.config.model_settings import ModelSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.config.training_settings import FinetuneSettings
from variorum.model.gpt import GPT
from variorum.tokenizer.kinds import characters
from variorum.training.loop import Data, Host, Training

TEXT = "".join(f"{i} times {i} is {i * i}. " for i in range(200))
TOKENIZER = characters.train([TEXT], TokenizerSettings(kind="characters"))
IDS = np.array(TOKENIZER.encode(TEXT), dtype=np.uint16)
DATA = {"train": IDS[:1500], "val": IDS[1500:1700], "replayed": IDS[1700:]}
CALM: dict[str, Any] = {
    "batch_size": 8,
    "max_steps": 8,
    "warmup_steps": 2,
    "learning_rate": 2e-2,
    "val_interval": 4,
    "val_tokens": 64,
    "sample_tokens": 0,
    "selection": "last",
    "batches": "sliding",
}
"""Settings under which a training draws nothing."""

STOCHASTIC: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dropout": ({"dropout": 0.2, "attention_dropout": 0.0}, {}),
    "attention_dropout, fused": ({"attention_dropout": 0.2}, {}),
    "attention_dropout, written out": (
        {"attention_dropout": 0.2, "attention": "written_out"},
        {},
    ),
    "dropout and accumulation": ({"dropout": 0.2}, {"accumulation": 2}),
    "batches: replacement": ({}, {"batches": "replacement"}),
    "batches: permutation": ({}, {"batches": "permutation", "stride": 3}),
    "replay": ({}, {"replay": 0.25, "batches": "replacement"}),
}
"""Each setting that draws, by itself: of the model, and of the training."""


def trained(name: str, folder: Path, seed: int = 3, **host: Any) -> str:
    """Return the SHA-256 of the weights after a training where this alone is random."""
    of_model, of_training = STOCHASTIC.get(name, ({}, {}))
    small = {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 16}
    settings = FinetuneSettings(**{**CALM, **of_training})
    model = GPT(ModelSettings(**small, **of_model), TOKENIZER.vocab_size, seed=3)
    data = (
        Data(**DATA, replay=settings.replay)
        if settings.replay
        else Data(DATA["train"], DATA["val"])
    )
    here = Host(folder / "state.safetensors", **host)
    found = Training(model, TOKENIZER, data, settings, seed, here).run()
    return str(found.summary["final_weights_sha256"])


@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_random_setting_depends_on_the_seed_alone(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = trained(name, tmp_path / "one")
    torch.manual_seed(2)  # as if other code had drawn before
    assert trained(name, tmp_path / "again") == one
    assert trained(name, tmp_path / "two", processes=2) == one
    with pytest.raises(Stopped):
        trained(name, tmp_path / "stopped", stop_after=3)
    torch.manual_seed(4)  # as in a new process
    assert trained(name, tmp_path / "stopped") == one
    torch.manual_seed(1)
    assert trained(name, tmp_path / "other", seed=4) != one


def test_without_a_random_setting_the_seed_changes_nothing(tmp_path: Path) -> None:
    assert trained("none", tmp_path / "3") == trained("none", tmp_path / "4", seed=4)


# Draws in the source

PACKAGE = ROOT / "src/variorum"
SCIENCE = ("corpus", "tokenizer", "model", "generation", "training", "evaluation", "stages")
DRAWING = {
    *("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like"),
    *("normal", "normal_", "uniform_", "bernoulli", "bernoulli_", "multinomial", "exponential_"),
    *("geometric_", "cauchy_", "log_normal_", "random_", "trunc_normal_", "rrelu"),
    *("xavier_normal_", "xavier_uniform_", "kaiming_normal_", "kaiming_uniform_", "orthogonal_"),
}
"""Functions of PyTorch that draw, from the generator that they are given."""
DROPPING = {"dropout", "Dropout", "alpha_dropout", "feature_alpha_dropout", "gumbel_softmax"}
"""Functions of PyTorch that take no generator."""
SEEDING = {"manual_seed", "seed", "set_rng_state", "fork_rng"}

DOORS = {
    "training/draws.py": {"manual_seed", "Philox"},  # of a training
    "corpus/sources/synthetic.py": {"random"},  # `random.Random`, seeded by the source's settings
    "model/attentions/written_out.py": {"dropout"},  # in a training, so seeded by it
    "model/dropout.py": {"random_", "dropout"},
    "model/gpt.py": {"Dropout", "fork_rng"},
    "model/gpt2.py": {"normal_"},  # for reading: nothing that is kept begins with it
    "training/plain.py": {"Philox"},  # for reading
    "evaluation/stress/behaviour/noise.py": {"Philox"},
    "evaluation/stress/behaviour/controls.py": {"Philox"},
}
"""Files that may draw or seed without a generator of their own, and by what."""


def draws(tree: ast.Module) -> Iterator[str]:
    """Yield what in a module draws from, or changes, a generator that it was not given."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                yield from (n.name for n in names if n.name in ("random", "secrets"))
            case ast.ImportFrom("random" | "secrets" as module):
                yield module
            case ast.Attribute(ast.Attribute(ast.Name("np"), "random"), name):
                yield name
            case ast.Call(ast.Attribute(_, name) | ast.Name(name), _, given):
                seeds_its_own = name == "manual_seed" and "Generator" in ast.unparse(node.func)
                has_own = any(each.arg == "generator" for each in given)
                if name in DRAWING and not has_own:
                    yield name
                if (name in DROPPING | SEEDING) and not seeds_its_own:
                    yield name


def test_draws_are_found() -> None:
    for line in (
        "import random",
        "from random import choice",
        "np.random.default_rng(3)",
        "torch.rand(3)",
        "x.normal_()",
        "F.dropout(x, 0.1)",
        "torch.manual_seed(3)",
    ):
        assert list(draws(ast.parse(line))), line
    for line in ("torch.rand(3, generator=own)", "torch.Generator().manual_seed(3)"):
        assert not list(draws(ast.parse(line))), line


def test_nothing_is_drawn_but_through_the_doors() -> None:
    found = {}
    for folder in SCIENCE:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            if names := set(draws(ast.parse(path.read_text(encoding="utf-8")))):
                found[path.relative_to(PACKAGE).as_posix()] = names
    assert found == DOORS
