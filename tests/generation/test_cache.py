"""Reading in parts with a cache, for several sequences, and its limits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from variorum.base.components import options
from variorum.base.errors import VariorumError
from variorum.config.model_settings import ModelSettings
from variorum.generation.cache import Cache
from variorum.model.gpt import GPT


def model_with(positions: str) -> GPT:
    chosen = ModelSettings(n_layer=2, n_head=2, n_embd=16, context_length=16, positions=positions)
    return GPT(chosen, 30, seed=1).eval()


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(options("model/positions")),
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(1, 3),
)
def test_a_text_read_in_any_parts_gives_the_logits_of_the_whole(
    positions: str, parts: list[int], batch_size: int
) -> None:
    model = model_with(positions)
    ids = torch.randint(30, (batch_size, min(sum(parts), 16)), generator=torch.Generator())
    cache = Cache(model.settings, batch_size)
    with torch.no_grad():
        read = [model(part, cache) for part in ids.split(_clipped(parts, ids.shape[1]), dim=1)]
        whole = model(ids)
    torch.testing.assert_close(torch.cat(read, 1), whole, rtol=1e-5, atol=1e-5)
    assert cache.length == ids.shape[1]


def _clipped(parts: list[int], length: int) -> list[int]:
    ends = [min(sum(parts[: n + 1]), length) for n in range(len(parts))]
    return [end - start for start, end in zip([0, *ends], ends, strict=False) if end > start]


def test_a_cache_bears_recorded_gradients() -> None:
    model = model_with("rotary")
    cache = Cache(model.settings)
    read = [model(torch.tensor([[token]]), cache)[0, 0] for token in (1, 2, 3)]
    whole = model(torch.tensor([[1, 2, 3]]))[0]
    torch.testing.assert_close(torch.stack(read), whole, rtol=1e-5, atol=1e-5)


def test_a_cleared_cache_is_as_good_as_new() -> None:
    model = model_with("rotary")
    cache = Cache(model.settings)
    with torch.no_grad():
        first = model(torch.tensor([[1, 2, 3]]), cache)
        model(torch.tensor([[4, 5]]), cache)
        cache.clear()
        assert torch.equal(model(torch.tensor([[1, 2, 3]]), cache), first)


def test_a_full_cache_takes_no_more() -> None:
    cache = Cache(ModelSettings(n_head=2, n_embd=8, context_length=4))
    cache.advance(3)
    new = torch.zeros(1, 2, 2, 4)
    with pytest.raises(VariorumError, match="3 of at most 4 tokens, so 2 more"):
        cache.extend(0, new, new)


def test_a_model_reads_nothing_beyond_its_context_from_a_cache() -> None:
    model = model_with("learned")
    cache = Cache(model.settings)
    cache.advance(15)
    with pytest.raises(VariorumError, match="15 of at most 16 tokens, so 2 more"):
        model(torch.tensor([[1, 2]]), cache)


@pytest.mark.parametrize("positions", options("model/positions"))
def test_the_sequences_that_stay_continue_as_before(positions: str) -> None:
    model = model_with(positions)
    ids = torch.randint(30, (4, 9), generator=torch.Generator().manual_seed(1))
    cache = Cache(model.settings, 4)
    with torch.no_grad():
        model(ids[:, :5], cache)
        cache.keep([0, 3])
        read = model(ids[[0, 3], 5:], cache)
        whole = model(ids[[0, 3]])[:, 5:]
    torch.testing.assert_close(read, whole, rtol=1e-5, atol=1e-5)
    assert torch.equal(cache.ids[:, :9], ids[[0, 3]])


def test_the_memory_is_taken_once() -> None:
    model = model_with("learned")
    cache = Cache(model.settings)
    before = cache.keys.data_ptr(), cache.values.data_ptr()
    with torch.no_grad():
        for token in range(16):
            model(torch.tensor([[token]]), cache)
    assert before == (cache.keys.data_ptr(), cache.values.data_ptr())
    assert cache.keys.shape == (2, 1, 2, 16, 8)
