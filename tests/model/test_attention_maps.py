"""The written-out attention weights are those that the model uses."""

import pytest
import torch

from variorum.config import ModelSettings
from variorum.model.attention_maps import attention_maps, attention_weights
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


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_each_row_is_a_mean_over_the_past(positions: str) -> None:
    maps = attention_maps(model_with(positions), IDS)
    assert maps.shape == (3, 2, 8, 8)
    torch.testing.assert_close(maps.sum(-1), torch.ones(3, 2, 8))
    assert not maps.triu(1).any()
    assert maps.std() > 0.1
    assert not torch.equal(maps[0], maps[1])


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_they_mix_the_values_as_the_fused_attention_does(positions: str) -> None:
    model = model_with(positions).eval()
    attention = model.h[0].attn
    x = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        _, _, values = attention.heads(x)
        mixed = attention_weights(attention, x, model.positions) @ values
        written_out = attention.c_proj(mixed.transpose(1, 2).flatten(2))
        fused = attention(x, model.positions)
    torch.testing.assert_close(written_out, fused, rtol=1e-5, atol=1e-5)


def test_deeper_maps_come_from_what_the_layers_before_made() -> None:
    model = model_with("learned")
    seen = []
    model.h[2].attn.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model.eval()(IDS[None])
    with torch.no_grad():
        expected = attention_weights(model.h[2].attn, seen[0], model.positions)
    torch.testing.assert_close(attention_maps(model, IDS)[2], expected[0], rtol=1e-5, atol=1e-5)


def test_dropout_is_left_out_and_the_mode_stays() -> None:
    model = model_with("learned").train()
    assert torch.equal(attention_maps(model, IDS), attention_maps(model, IDS))
    assert all(module.training for module in model.modules())
