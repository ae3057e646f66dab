"""The written-out attention weights are those that the model uses."""

import math

import pytest
import torch

from variorum.base import components
from variorum.config.model_settings import ModelSettings
from variorum.model.attention_maps import attention_maps
from variorum.model.gpt import GPT

IDS = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])


def model_with(positions: str) -> GPT:
    chosen = ModelSettings(
        n_layer=3, n_head=2, n_embd=16, context_length=8, positions=positions, dropout=0.2
    )
    model = GPT(chosen, 10, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8)
    return model


@pytest.mark.parametrize("positions", components.options("model/positions"))
def test_each_row_is_a_mean_over_the_past(positions: str) -> None:
    maps = attention_maps(model_with(positions), IDS)
    assert maps.shape == (3, 2, 8, 8)
    torch.testing.assert_close(maps.sum(-1), torch.ones(3, 2, 8))
    assert not maps.triu(1).any()
    assert maps.std() > 0.1
    assert not torch.equal(maps[0], maps[1])


@pytest.mark.parametrize("positions", components.options("model/positions"))
def test_they_are_the_softmax_of_what_queries_say_to_keys(positions: str) -> None:
    # In float32 the kernel and the written-out attention differ by 6e-5 before the last layer, as
    # these weights are large; which of the two rounds better depends on the processor.
    model = model_with(positions).double().eval()
    layer, length = 2, len(IDS)
    seen = []
    model.h[layer].attn.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        model(IDS[None])
        queries, keys, _ = model.h[layer].attn.heads(seen[0])
        queries, keys = model.positions.rotate(queries, keys, 0)
        scores = (queries @ keys.mT / math.sqrt(keys.shape[-1]))[0]
    bias = model.positions.bias(length, length)
    for query in range(length):
        said = scores[:, query, : query + 1]
        if bias is not None:
            said = said + bias[:, query, : query + 1]
        found = attention_maps(model, IDS)[layer, :, query, : query + 1]
        torch.testing.assert_close(found, said.softmax(-1), rtol=1e-9, atol=1e-9)


def test_dropout_is_left_out_and_the_mode_stays() -> None:
    model = model_with("learned").train()
    assert torch.equal(attention_maps(model, IDS), attention_maps(model, IDS))
    assert all(module.training for module in model.modules())
