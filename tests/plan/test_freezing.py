"""Parts that a fine-tuning freezes are known to its model before anything runs."""

import random

import pytest

from conftest import ROOT
from variorum.base.errors import VariorumError
from variorum.config.canonical import canonical
from variorum.config.model_settings import ModelSettings
from variorum.config.setting_errors import ConfigError
from variorum.model.gpt import GPT
from variorum.plan.experiment import plan_experiment
from variorum.plan.freezing import check_frozen
from variorum.plan.loading import load_experiment

MODELS = (
    {},
    {"bias": False, "tied_head": False},
    {"positions": "rotary", "norm": "rms", "feed_forward": "swiglu"},
    {"token_shift": True, "ngrams": (2, 3), "norm_position": "after", "n_layer": 11},
)


def refusal(settings: ModelSettings, name: str) -> str:
    try:
        check_frozen(canonical(settings), (name,))
    except VariorumError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("changes", MODELS, ids=str)
def test_names_of_this_model_and_no_others_are_accepted(changes: dict[str, object]) -> None:
    settings = ModelSettings(**{"n_layer": 2, "n_head": 2, "n_embd": 8, **changes})
    names = [name for name, _ in GPT(settings, 5).named_parameters()]
    parts = {".".join(name.split(".")[:n]) for name in names for n in range(1, name.count(".") + 2)}
    draw = random.Random(1)
    others = {*("lm_head", "shift", "ngrams", "positions", "ln_f", "wtee", "h.1.attnn", "h.77", "")}
    others |= {part[:-1] for part in draw.sample(sorted(parts), 8)}
    for name in draw.sample(sorted(parts), 20):
        assert not refusal(settings, name), name
    for name in others - parts:
        assert "freeze: no part of this model is called" in refusal(settings, name), name


@pytest.mark.parametrize(
    ("model", "freeze", "message"),
    [
        ({}, ["h.0.atn"], r"no part of this model is called h\.0\.atn; it has wte, "),
        ({}, ["lm_head"], "called lm_head; it has wte, "),
        ({"positions": "rotary"}, ["positions"], "called positions; it has wte, "),
        ({}, ["wte", "positions", "h", "ln_f"], "freeze: nothing is left to train"),
    ],
)
def test_a_plan_refuses_them_before_the_pretraining(
    model: dict[str, object], freeze: list[str], message: str
) -> None:
    changes = {"experiment": "tiny", "model": model, "finetune": {"freeze": freeze}}
    loaded = load_experiment(ROOT, changes)
    with pytest.raises(ConfigError, match=f"^command line: finetune.*{message}"):
        plan_experiment(loaded, ROOT, offline=True)
