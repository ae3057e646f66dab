"""Everything that a model makes lies where the model is, whatever its parts.

`meta` is a device without numbers, which PyTorch has everywhere: an operation on it and on the CPU
at once fails as it would on a GPU.
"""

from typing import Any

import pytest
import torch

from variorum.base.errors import VariorumError
from variorum.base.machine import computing_on, gpu
from variorum.config.model_settings import ModelSettings
from variorum.generation.decoder import decodes, reader
from variorum.generation.reading import next_logits
from variorum.model.gpt import GPT
from variorum.training import flat

PARTS: list[dict[str, Any]] = [
    *({"positions": name} for name in ("learned", "sinusoidal", "rotary", "alibi", "none")),
    *({"feed_forward": name} for name in ("gelu", "relu", "relu_squared", "swiglu")),
    {"norm": "rms"},
    {"norm_position": "after"},
    {"attention": "written_out", "positions": "alibi"},
    {"document_attention": True},
    {"qk_norm": True},
    {"token_shift": True},
    {"ngrams": (2, 3)},
    {"tied_head": False},
    {"dropout": 0.1},
]


def elsewhere(**parts: Any) -> GPT:
    settings = ModelSettings(n_layer=2, n_head=2, n_embd=32, context_length=16, **parts)
    return GPT(settings, vocab_size=50, seed=1).to("meta")


def step(model: GPT) -> None:
    ids = torch.zeros(2, 16, dtype=torch.int64, device="meta")
    model.loss(ids, ids).backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("parts", PARTS, ids=str)
def test_gradients_trace_and_cache_lie_where_the_model_is(parts: dict[str, Any]) -> None:
    model = elsewhere(**parts)
    step(model)
    assert {p.grad.device.type for p in model.parameters() if p.grad is not None} == {"meta"}
    layout = flat.Layout.of(model)
    assert flat.gather(layout, model).is_meta
    assert flat.decayed(layout, model).is_meta
    ids = torch.zeros(1, 16, dtype=torch.int64, device="meta")
    assert all(tensor.is_meta for tensor in model.trace(ids).values())
    assert not decodes(model)
    cache = reader(model, 2, use_cache=True).cache
    assert next_logits(model, [[1, 2, 3]] * 2, cache).is_meta
    assert next_logits(model, [[4]] * 2, cache).is_meta


def test_a_part_that_was_left_on_the_cpu_is_noticed() -> None:
    model = elsewhere(token_shift=True)
    assert model.shift is not None
    model.shift.share = torch.nn.Parameter(torch.ones(32))
    with pytest.raises(RuntimeError, match="device"):
        step(model)


def test_a_device_that_is_not_here_is_refused_with_what_is() -> None:
    here = gpu()
    missing = "mps" if here is None or here[0] == "cuda" else "cuda"
    with pytest.raises(VariorumError, match=f"VARIORUM_DEVICE: {missing} was requested, but"):
        computing_on(missing)


def test_the_gpu_that_is_left_idle_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "H200")
    assert (
        computing_on("cpu") == "on the CPU; H200 is here too: VARIORUM_DEVICE=cuda computes on it"
    )
    assert computing_on("cuda") == "on H200"
