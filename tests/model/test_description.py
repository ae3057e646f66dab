"""A description counts what PyTorch counts."""

import subprocess
import sys

import pytest
import torch
from test_gpt import SIZE, VARIANTS, model_with, some_ids
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from variorum.generation.cache import Cache
from variorum.model.description import describe, describe_settings


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_parameters_and_operations_are_those_that_pytorch_counts(
    changes: dict[str, object],
) -> None:
    model = model_with(**{**changes, "attention": "written_out"})
    ids = some_ids(3, SIZE["context_length"])
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        model.loss(ids, ids)
    with FlopCounterMode(display=False) as training:
        model.loss(ids, ids).backward()
    found = describe(model)
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert found.parameters == sum(row.parameters for row in found.rows)
    assert found.flops * ids.numel() == forward.get_total_flops()
    whole = training.get_total_flops()
    assert found.training_flops(ids.numel()) == pytest.approx(whole, rel=0.02)
    assert describe_settings(model.settings, model.vocab_size) == found


def test_the_cache_is_as_large_as_said() -> None:
    model = model_with()
    cache = Cache(model.settings)
    assert describe(model).cache_bytes == cache.keys.nbytes + cache.values.nbytes


def test_rows_go_by_name_in_the_order_of_the_model() -> None:
    rows = describe(model_with()).rows
    names = [row.name for row in rows]
    assert names[:4] == ["wte", "positions.wpe", "h.0.ln_1", "h.0.attn"]
    assert names[-2:] == ["ln_f", "head"]
    assert rows[0].shapes == ((31, SIZE["n_embd"]),)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_names_of_our_classes_show_nowhere(changes: dict[str, object]) -> None:
    model = model_with(**changes)
    rows = describe(model).rows
    kinds = {"Embedding", "Linear", "Norm", "TokenShift", "Attention", "the embedding again"}
    assert {row.kind for row in rows} <= kinds
    own = {type(m) for m in model.modules() if type(m).__module__.startswith("variorum.")}
    names = {each: each.__name__ for each in own}
    assert len(own) > 3
    try:
        for each in own:
            each.__name__ = "Renamed"
        assert describe(model).rows == rows
    finally:
        for each, name in names.items():
            each.__name__ = name


def test_a_layer_of_another_class_is_called_as_its_class_in_pytorch() -> None:
    class Mine(nn.Linear):
        pass

    model = model_with()
    model.h[0].attn.c_attn = Mine(SIZE["n_embd"], 3 * SIZE["n_embd"])  # type: ignore[union-attr]
    (row,) = [row for row in describe(model).rows if row.name == "h.0.attn.c_attn"]
    assert row.kind == "Linear"


DESCRIBED = """
import sys
from variorum.base.components import options
from variorum.config.model_settings import ModelSettings
from variorum.model.description import describe_settings
from variorum.training.numerics import one_thread
for positions in options("model/positions"):
    describe_settings(ModelSettings(positions=positions), 300)
with one_thread():
    pass
print("torch._dynamo" in sys.modules)
"""


def test_no_compiler_is_imported_to_describe_a_model_or_to_train_one_without_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBED], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
