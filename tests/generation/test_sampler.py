"""How the next token is chosen, and that a cache changes nothing but the time."""

import itertools
from collections import Counter

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from oracles import sampling as oracle
from variorum.config import ModelSettings, SamplingSettings
from variorum.errors import VariorumError
from variorum.generation import sampler
from variorum.generation.sampler import generate, next_token
from variorum.model.gpt import GPT

LOGITS = st.lists(st.integers(-24, 24).map(lambda n: n / 8), min_size=1, max_size=12)
VOCAB = 23


def plain(**changes: object) -> SamplingSettings:
    return SamplingSettings(**{"temperature": 1.0, "top_p": 1.0, **changes})


def draws(logits: list[float], chosen: SamplingSettings, count: int) -> Counter[int]:
    generator = torch.Generator().manual_seed(5)
    scores = torch.tensor(logits)
    return Counter(next_token(scores, chosen, generator) for _ in range(count))


def small_model(positions: str = "learned", context_length: int = 12) -> GPT:
    chosen = ModelSettings(
        n_layer=2, n_head=2, n_embd=16, context_length=context_length, positions=positions
    )
    model = GPT(chosen, VOCAB, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # far from uniform, so that the past matters
    return model.eval()


@settings(deadline=None)
@given(
    LOGITS,
    st.sampled_from([0.3, 0.8, 1.0, 2.0]),
    st.none() | st.integers(1, 14),
    st.floats(0.05, 1.0),
    st.integers(0, 2**32),
)
def test_draws_what_the_oracle_draws(
    logits: list[float], temperature: float, top_k: int | None, top_p: float, seed: int
) -> None:
    assume(oracle.distance_to_cut(logits, temperature, top_k, top_p) > 1e-9)
    choices = oracle.kept(logits, temperature, top_k, top_p)
    shares = list(itertools.accumulate(probability for _, probability in choices))
    chosen = SamplingSettings(temperature=temperature, top_k=top_k, top_p=top_p)
    ours, numbers = _seeded(seed), _seeded(seed)
    for _ in range(8):
        uniform = float(torch.rand((), dtype=torch.float64, generator=numbers))
        found = next_token(torch.tensor(logits), chosen, ours)
        near = min(abs(uniform - share) for share in shares) < 1e-9  # rounding may decide
        assert near or found == oracle.drawn(choices, uniform)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_top_k_keeps_exactly_k_of_equals_and_the_lowest_ids(k: int) -> None:
    assert set(draws([1.5] * 9, plain(top_k=k), 400)) == set(range(k))
    assert set(draws([1.5] * 3000, plain(top_k=k), 400)) == set(range(k))


def test_top_k_beyond_the_vocabulary_keeps_everything() -> None:
    assert set(draws([0.0] * 4, plain(top_k=1000), 200)) == {0, 1, 2, 3}


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    logits = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).log().tolist()
    assert set(draws(logits, plain(top_p=0.49), 200)) == {1}
    assert set(draws(logits, plain(top_p=0.51), 200)) == {1, 2}
    assert set(draws(logits, plain(top_p=0.81), 200)) == {0, 1, 2}


def test_a_tiny_top_p_still_keeps_the_likeliest() -> None:
    assert set(draws([0.0, 3.0, 1.0], plain(top_p=1e-12), 50)) == {1}


def test_top_p_counts_what_top_k_left() -> None:
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64).log().tolist()
    # 0.4 of 0.7 is above 0.55, though 0.4 of 1 is not
    assert set(draws(logits, plain(top_k=2, top_p=0.55), 200)) == {0}


def test_frequencies_are_the_probabilities() -> None:
    probabilities = torch.tensor([0.1, 0.6, 0.3], dtype=torch.float64)
    counts = draws(probabilities.log().tolist(), plain(), 6000)
    for token, probability in enumerate(probabilities.tolist()):
        assert counts[token] / 6000 == pytest.approx(probability, abs=0.025)
    kept = draws(probabilities.log().tolist(), plain(top_p=0.8), 3000)
    assert kept[1] / 3000 == pytest.approx(0.6 / 0.9, abs=0.03)


def test_temperature_zero_takes_the_likeliest_with_the_lowest_id_and_draws_nothing() -> None:
    generator = _seeded(1)
    before = generator.get_state()
    greedy = plain(temperature=0.0)
    assert next_token(torch.tensor([0.0, 2.0, 2.0, 1.0]), greedy, generator) == 1
    assert torch.equal(before, generator.get_state())


@pytest.mark.parametrize("temperature", [5e-324, 1e-30, 1e300])
def test_extreme_temperatures_give_a_token(temperature: float) -> None:
    found = draws([-1e30, 4.0, 3.0, -torch.inf], plain(temperature=temperature), 50)
    assert set(found) <= {0, 1, 2}
    assert temperature > 1 or set(found) == {1}


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_numbers_are_an_error(bad: float, temperature: float) -> None:
    with pytest.raises(VariorumError, match="not finite"):
        next_token(torch.tensor([0.0, bad]), plain(temperature=temperature), _seeded(1))


@pytest.mark.parametrize("positions", ["learned", "rotary"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("prompt_length", [1, 5, 12, 30])
def test_a_cache_changes_no_token_even_beyond_the_context(
    positions: str, temperature: float, prompt_length: int
) -> None:
    model = small_model(positions)
    prompt = [n * 7 % VOCAB for n in range(prompt_length)]
    chosen = plain(temperature=temperature, max_tokens=40)
    cached = list(generate(model, prompt, chosen))
    assert len(cached) == 40
    assert cached == list(generate(model, prompt, chosen, use_cache=False))
    assert temperature == 0 or len(set(cached)) > 5


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["learned", "rotary"]),
    st.integers(2, 9),
    st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=20),
    st.integers(0, 1000),
)
def test_cached_logits_are_the_uncached_ones(
    positions: str, context_length: int, prompt: list[int], seed: int
) -> None:
    model = small_model(positions, context_length)
    cached = _logits_seen(model, prompt, seed, use_cache=True)
    uncached = _logits_seen(model, prompt, seed, use_cache=False)
    torch.testing.assert_close(cached, uncached, rtol=1e-5, atol=1e-5)


def _logits_seen(model: GPT, prompt: list[int], seed: int, *, use_cache: bool) -> Tensor:
    seen: list[Tensor] = []

    def spy(logits: Tensor, chosen: SamplingSettings, generator: torch.Generator) -> int:
        seen.append(logits)
        return next_token(logits, chosen, generator)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "next_token", spy)
        chosen = plain(seed=seed, max_tokens=15)
        list(generate(model, prompt, chosen, use_cache=use_cache))
    return torch.stack(seen)


@pytest.mark.parametrize("use_cache", [True, False])
def test_the_window_falls_to_its_last_half_when_it_is_full(use_cache: bool) -> None:
    model = small_model(context_length=6)
    lengths = []
    features = model.features

    def spy(ids: Tensor, cache: sampler.Cache | None = None) -> Tensor:
        lengths.append(ids.shape[1] + (cache.length if cache else 0))
        return features(ids, cache)

    model.features = spy  # type: ignore[method-assign]
    list(generate(model, list(range(20)), plain(max_tokens=9), use_cache=use_cache))
    assert lengths == [6, 3, 4, 5, 6, 3, 4, 5, 6]


def test_the_model_sees_nothing_older_than_its_window() -> None:
    model = small_model(context_length=6)
    chosen = plain(max_tokens=20)
    first = list(generate(model, [1, 2, 3, 4, 5, 6, 7, 8], chosen))
    assert first == list(generate(model, [9, 9, 3, 4, 5, 6, 7, 8], chosen))
    assert first == list(generate(model, [3, 4, 5, 6, 7, 8], chosen))


def test_the_same_seed_writes_the_same_and_another_seed_something_else() -> None:
    model = small_model()
    first = list(generate(model, [1], plain(seed=4)))
    torch.manual_seed(0)  # nothing outside decides
    assert first == list(generate(model, [1], plain(seed=4)))
    assert first != list(generate(model, [1], plain(seed=5)))


def test_a_longer_text_begins_with_the_shorter_one() -> None:
    model = small_model()
    longer = list(generate(model, [1], plain(max_tokens=30)))
    assert list(generate(model, [1], plain(max_tokens=10))) == longer[:10]


def test_the_stop_token_ends_the_text_and_is_not_given() -> None:
    model = small_model()
    everything = list(generate(model, [1], plain(max_tokens=30)))
    stop = everything[12]
    stopped = list(generate(model, [1], plain(max_tokens=30), stop=stop))
    assert stopped == everything[: everything.index(stop)]


def test_dropout_is_off_while_a_model_in_training_writes() -> None:
    chosen = ModelSettings(n_layer=1, n_head=1, n_embd=8, context_length=8, dropout=0.5)
    model = GPT(chosen, VOCAB)
    expected = list(generate(model.eval(), [1], plain(max_tokens=20)))
    assert list(generate(model.train(), [1], plain(max_tokens=20))) == expected
    assert all(module.training for module in model.modules())


def test_a_half_read_text_leaves_gradients_and_modes_alone() -> None:
    model = small_model()
    tokens = generate(model, [1], plain())
    next(tokens)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    model.loss(torch.tensor([[1, 2]]), torch.tensor([[2, 3]])).backward()
    next(tokens)


def test_the_prompt_stays_as_it_was() -> None:
    prompt = [1, 2, 3]
    list(generate(small_model(), prompt, plain(max_tokens=5)))
    assert prompt == [1, 2, 3]


def test_an_empty_prompt_is_an_error_at_once() -> None:
    with pytest.raises(VariorumError, match="eot"):
        generate(small_model(), [], plain())


@pytest.mark.parametrize("token", [-1, VOCAB])
def test_a_token_that_the_model_does_not_know_is_an_error_at_once(token: int) -> None:
    with pytest.raises(VariorumError, match="0 to 22"):
        generate(small_model(), [1, token], plain())
