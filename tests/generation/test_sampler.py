"""How the next token is chosen, and that a cache changes nothing but the time."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from oracles import sampling as oracle
from variorum.base.components import options
from variorum.base.errors import VariorumError
from variorum.config.canonical import canonical, restored
from variorum.config.evaluation_settings import SamplingSettings, StressSettings
from variorum.config.model_settings import ModelSettings
from variorum.generation import sampler
from variorum.generation.choice import Numbers, next_tokens, penalized, share_of
from variorum.generation.decoder import reader
from variorum.generation.reading import LogitReader, Logits
from variorum.generation.sampler import Draft, generate, write
from variorum.model.gpt import GPT

LOGITS = st.lists(st.integers(-24, 24).map(lambda n: n / 8), min_size=1, max_size=12)
VOCAB = 23


def plain(**changes: object) -> SamplingSettings:
    return SamplingSettings.model_validate(
        {"temperature": 1.0, "top_p": 1.0, "valid_utf8": False, **changes}
    )


def draws(logits: list[float], chosen: SamplingSettings, count: int) -> Counter[int]:
    numbers = Numbers(5)
    return Counter(next_token(logits, chosen, numbers) for _ in range(count))


def next_token(logits: list[float], chosen: SamplingSettings, numbers: Numbers) -> int:
    (token,) = next_tokens(np.array([logits], np.float32), [chosen], [numbers])
    return token


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
    st.just(0.0) | st.floats(0.0, 1.0),
    st.integers(0, 2**32),
)
def test_draws_what_the_oracle_draws(
    logits: list[float],
    temperature: float,
    top_k: int | None,
    top_p: float,
    min_p: float,
    seed: int,
) -> None:
    assume(oracle.distance_to_cut(logits, temperature, top_k, top_p, min_p) > 1e-9)
    choices = oracle.kept(logits, temperature, top_k, top_p, min_p)
    shares = list(itertools.accumulate(probability for _, probability in choices))
    chosen = plain(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    ours, numbers = Numbers(seed), torch.Generator().manual_seed(seed)
    for _ in range(8):
        uniform = float(torch.rand((), dtype=torch.float64, generator=numbers))
        found = next_token(logits, chosen, ours)
        near = min(abs(uniform - share) for share in shares) < 1e-9  # rounding may decide
        assert near or found == oracle.drawn(choices, uniform)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_top_k_keeps_exactly_k_of_equal_logits_and_the_lowest_ids(k: int) -> None:
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


def test_min_p_keeps_what_has_a_share_of_the_likeliest_ones_probability() -> None:
    logits = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).log().tolist()
    assert set(draws(logits, plain(min_p=0.39), 200)) == {0, 1, 2}
    assert set(draws(logits, plain(min_p=0.41), 200)) == {1, 2}
    assert set(draws(logits, plain(min_p=0.61), 200)) == {1}


def test_min_p_one_keeps_the_likeliest_and_its_equals() -> None:
    assert set(draws([1.0, 3.0, 2.0, 3.0], plain(min_p=1.0), 200)) == {1, 3}


def test_min_p_counts_at_the_temperature() -> None:
    logits = torch.tensor([0.2, 0.8], dtype=torch.float64).log().tolist()
    assert set(draws(logits, plain(min_p=0.4), 200)) == {1}
    assert set(draws(logits, plain(min_p=0.4, temperature=2.0), 200)) == {0, 1}  # 1 : 2 there


def test_top_p_does_not_count_what_min_p_leaves_out_as_gone() -> None:
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64).log().tolist()
    # were min_p first, 0.4 of the 0.7 that it leaves would be enough
    assert set(draws(logits, plain(top_p=0.55, min_p=0.7), 200)) == {0, 1}


@settings(deadline=None)
@given(LOGITS, st.lists(st.integers(0, 11), max_size=20), st.floats(1.0, 4.0))
def test_the_penalty_is_the_oracles(logits: list[float], recent: list[int], penalty: float) -> None:
    recent = [token % len(logits) for token in recent]
    found = penalized(np.array(logits), set(recent), penalty)
    assert found.tolist() == oracle.penalized(logits, recent, penalty)


def test_a_high_penalty_lets_no_token_come_twice_within_its_window() -> None:
    chosen = plain(temperature=0.0, repetition_penalty=1e9, repetition_window=5, max_tokens=60)
    prompt = [4, 7, 7]
    written = list(generate(small_model(), prompt, chosen))
    text = prompt + written
    for place in range(len(prompt), len(text)):
        assert text[place] not in text[max(0, place - 5) : place]
    assert len(set(written)) < len(written), "further back nothing is penalized"


def test_the_token_that_ends_documents_is_not_penalized() -> None:
    chosen = plain(temperature=0.0, repetition_penalty=1e9)
    draft = Draft([2, 3], chosen, stop=2)
    assert draft.draw(np.array([1.0, 0.5, 1.5, 1.6])) is None
    assert draft.ending == "document"


def test_settings_at_their_omitted_values_change_no_draw() -> None:
    model = small_model()
    chosen = plain(min_p=0.0, repetition_penalty=1.0, repetition_window=3, stop=("a",))
    assert list(generate(model, [1], chosen)) == list(generate(model, [1], plain()))


def test_what_was_written_before_a_setting_existed_is_read_as_without_it() -> None:
    old = {"temperature": 0.7, "top_k": None, "top_p": 0.9, "max_tokens": 80, "seed": 1}
    read = restored(StressSettings, {"sampling": old}).sampling
    assert canonical(read) == old
    assert not read.valid_utf8
    assert SamplingSettings().valid_utf8


def test_frequencies_are_the_probabilities() -> None:
    probabilities = torch.tensor([0.1, 0.6, 0.3], dtype=torch.float64)
    counts = draws(probabilities.log().tolist(), plain(), 6000)
    for token, probability in enumerate(probabilities.tolist()):
        assert counts[token] / 6000 == pytest.approx(probability, abs=0.025)
    kept = draws(probabilities.log().tolist(), plain(top_p=0.8), 3000)
    assert kept[1] / 3000 == pytest.approx(0.6 / 0.9, abs=0.03)


def test_temperature_zero_takes_the_likeliest_with_the_lowest_id_and_draws_nothing() -> None:
    numbers = Numbers(1)
    greedy = plain(temperature=0.0)
    assert next_token([0.0, 2.0, 2.0, 1.0], greedy, numbers) == 1
    assert numbers.next() == Numbers(1).next()


@pytest.mark.parametrize("temperature", [5e-324, 1e-30, 1e300])
def test_extreme_temperatures_give_a_token(temperature: float) -> None:
    found = draws([-1e30, 4.0, 3.0, -torch.inf], plain(temperature=temperature), 50)
    assert set(found) <= {0, 1, 2}
    assert temperature > 1 or set(found) == {1}


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_numbers_are_an_error(bad: float, temperature: float) -> None:
    with pytest.raises(VariorumError, match="not finite"):
        next_token([0.0, bad], plain(temperature=temperature), Numbers(1))


@pytest.mark.parametrize("positions", options("model/positions"))
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
    st.sampled_from(options("model/positions")),
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
    np.testing.assert_allclose(cached, uncached, rtol=1e-5, atol=1e-5)


def _logits_seen(model: GPT, prompt: list[int], seed: int, *, use_cache: bool) -> Logits:
    seen: list[Logits] = []

    def spy(logits: Logits, chosen: list[SamplingSettings], numbers: list[Numbers]) -> list[int]:
        seen.append(logits[0])
        return next_tokens(logits, chosen, numbers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "next_tokens", spy)
        chosen = plain(seed=seed, max_tokens=15)
        list(generate(model, prompt, chosen, use_cache=use_cache))
    return np.stack(seen)


class Noted:
    """Notes how many texts are read, and how long they then are, by any reader."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.texts: list[int] = []
        self.lengths: list[int] = []
        patch.setattr(sampler, "reader", self._reader)

    def _reader(self, model: GPT, n_texts: int, *, use_cache: bool) -> LogitReader:
        made = reader(model, n_texts, use_cache=use_cache)
        read = made.read

        def noting(ids: list[list[int]]) -> Logits:
            self.texts.append(len(ids))
            self.lengths.append(len(ids[0]) + (made.cache.length if made.cache else 0))
            return read(ids)

        made.read = noting  # type: ignore[method-assign]
        return made


@pytest.mark.parametrize("use_cache", [True, False])
def test_the_window_falls_to_its_last_half_when_it_is_full(
    use_cache: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted, model = Noted(monkeypatch), small_model(context_length=6)
    list(generate(model, list(range(20)), plain(max_tokens=9), use_cache=use_cache))
    assert noted.lengths == [6, 3, 4, 5, 6, 3, 4, 5, 6]


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


# Several texts at once

PROMPTS = st.lists(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=20), min_size=1)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(options("model/positions")),
    st.integers(2, 9),
    PROMPTS,
    st.booleans(),
    st.data(),
)
def test_texts_written_together_are_those_written_alone(
    positions: str,
    context_length: int,
    prompts: list[list[int]],
    use_cache: bool,
    data: st.DataObject,
) -> None:
    model = small_model(positions, context_length)
    chosen = [
        plain(
            seed=data.draw(st.integers(0, 9)),
            temperature=data.draw(st.sampled_from([0.0, 1.0])),
            max_tokens=data.draw(st.integers(1, 20)),
            repetition_penalty=data.draw(st.sampled_from([1.0, 1.5])),
        )
        for _ in prompts
    ]
    stop = data.draw(st.none() | st.integers(0, VOCAB - 1))
    drafts = [Draft(p, c, stop=stop) for p, c in zip(prompts, chosen, strict=True)]
    together: list[list[int]] = [[] for _ in prompts]
    for number, token in write(model, drafts, use_cache=use_cache):
        together[number].append(token)
    for draft, prompt, tokens, sampling in zip(drafts, prompts, together, chosen, strict=True):
        assert tokens == list(generate(model, prompt, sampling, stop=stop))
        assert draft.drawn == len(tokens) + (draft.ending == "document")


def test_texts_are_written_in_step_and_the_longest_prompt_delays_no_other() -> None:
    model = small_model()
    drafts = [Draft([1] * length, plain(max_tokens=2)) for length in (3, 1, 9)]
    assert [number for number, _ in write(model, drafts)] == [1, 1, 0, 0, 2, 2]


def test_a_text_that_is_ended_from_outside_leaves_the_others_alone() -> None:
    model = small_model()
    drafts = [Draft([1, 2], plain(seed=seed)) for seed in range(3)]
    together: list[list[int]] = [[] for _ in drafts]
    for number, token in write(model, drafts):
        together[number].append(token)
        if number == 1 and len(together[1]) == 7:
            drafts[1].ending = "stop"
    alone = [list(generate(model, [1, 2], plain(seed=seed))) for seed in range(3)]
    assert together == [alone[0], alone[1][:7], alone[2]]


def test_rows_that_are_done_cost_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    noted, model = Noted(monkeypatch), small_model()
    drafts = [Draft([1], plain(max_tokens=n)) for n in (4, 2, 6)]
    list(write(model, drafts))
    assert noted.texts == [3, 3, 2, 2, 1, 1]


def test_one_bad_prompt_of_several_is_an_error_at_once() -> None:
    with pytest.raises(VariorumError, match="0 to 22"):
        write(small_model(), [Draft([1], plain()), Draft([VOCAB], plain())])


# What a draft tells


def test_a_draft_counts_the_cuts_of_its_window() -> None:
    model = small_model(context_length=6)
    draft = Draft(list(range(20)), plain(max_tokens=9))
    list(write(model, [draft]))
    assert (draft.cuts, draft.ending, draft.drawn) == (2, "length", 9)


def test_the_share_of_tokens_is_their_probability_at_the_temperature() -> None:
    logits = np.log([0.2, 0.5, 0.3])
    tokens = np.array([True, False, True])
    assert share_of(tokens, logits, 1.0) == pytest.approx(0.5)
    assert share_of(tokens, logits, 0.0) == pytest.approx(0.5)
    hot = [p**0.5 for p in (0.2, 0.5, 0.3)]
    assert share_of(tokens, logits, 2.0) == pytest.approx((hot[0] + hot[2]) / sum(hot))


def test_valid_utf8_without_a_tokenizer_is_an_error_at_once() -> None:
    with pytest.raises(VariorumError, match=r"valid_utf8: .* give the tokenizer"):
        generate(small_model(), [1], plain(valid_utf8=True))
