"""The decoder computes what the model does, for every setting, and leaves the rest to the model."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from variorum.base.components import options
from variorum.config.evaluation_settings import SamplingSettings
from variorum.config.model_settings import ModelSettings
from variorum.generation import blas, decoder
from variorum.generation.activations import IN_NUMPY
from variorum.generation.decoder import Decoder, DecoderCache, decodes, reader
from variorum.generation.reading import LogitReader
from variorum.generation.sampler import Draft, write
from variorum.model.attention import Attention
from variorum.model.feed_forwards.relu import FeedForward
from variorum.model.gpt import GPT, TokenShift
from variorum.model.ngram_embedding import NgramEmbeddings
from variorum.model.norms.rms import Norm
from variorum.model.positions.rotary import Positions

VOCAB = 23
EOT = VOCAB - 1

MODELS = st.builds(
    ModelSettings,
    n_layer=st.integers(1, 3),
    n_head=st.sampled_from([1, 2, 4]),
    n_embd=st.sampled_from([8, 16]),
    context_length=st.integers(3, 12),
    positions=st.sampled_from(options("model/positions")),
    feed_forward=st.sampled_from(options("model/feed_forwards")),
    norm=st.sampled_from(options("model/norms")),
    norm_position=st.sampled_from(["before", "after"]),
    attention=st.sampled_from(options("model/attentions")),
    document_attention=st.booleans(),
    qk_norm=st.booleans(),
    token_shift=st.booleans(),
    ngrams=st.sampled_from([(), (2,), (3, 2)]),
    ngram_buckets=st.just(40),
    tied_head=st.booleans(),
    bias=st.booleans(),
)


def random_model(chosen: ModelSettings, seed: int = 1) -> GPT:
    """No weight is as it was initialized: not one scale is 1, and no bias 0."""
    model = GPT(chosen, VOCAB, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def close(found: npt.NDArray[Any], expected: Tensor) -> bool:
    """Equal but for rounding: 1e-5 of the largest logit."""
    largest = 1 + float(expected.abs().max())
    return float(np.abs(found - expected.numpy()).max()) <= 1e-5 * largest


@settings(max_examples=150, deadline=None)
@given(MODELS, st.integers(1, 4), st.integers(0, 2**20), st.data())
def test_every_setting_gives_the_models_logits(
    chosen: ModelSettings, n_texts: int, seed: int, data: st.DataObject
) -> None:
    """Read in any parts, while texts leave; twice, with another window's cache behind it."""
    model, generator = random_model(chosen), torch.Generator().manual_seed(seed)
    reading = reader(model, n_texts, use_cache=True)
    assert type(reading) is Decoder
    rows = list(range(n_texts))
    for _ in range(2):
        ids = torch.randint(VOCAB, (n_texts, chosen.context_length), generator=generator)
        ids[torch.rand(ids.shape, generator=generator) < 0.15] = EOT
        with torch.no_grad():
            expected = model(ids)
        end = 0
        while end < chosen.context_length:
            start = end
            end = min(end + data.draw(st.sampled_from([1, 1, 1, 2, 3])), chosen.context_length)
            assert close(reading.read(ids[rows, start:end].tolist()), expected[rows, end - 1])
            stay = [row for row in range(len(rows)) if data.draw(st.integers(0, 9))] or [0]
            if len(stay) < len(rows):
                rows = [rows[row] for row in stay]
                reading.keep(stay)
        reading.clear()


def test_weights_that_are_folded_wrongly_are_noticed() -> None:
    """The tolerance above lets no fault through."""
    chosen = ModelSettings(n_layer=1, n_head=2, n_embd=8, context_length=4)
    model, ids = random_model(chosen), torch.tensor([[1], [2]])
    with torch.no_grad():
        expected = model(ids)[:, -1]
    assert close(Decoder(model, DecoderCache(chosen, 2)).read(ids.tolist()), expected)
    for name in ("c_attn", "attn_proj", "c_fc", "mlp_proj"):
        faulty = Decoder(model, DecoderCache(chosen, 2))
        getattr(faulty.folded.blocks[0], name)[:] *= 1.001
        first = faulty.read(ids.tolist())
        second = faulty.read(ids.tolist())  # a single token's scores decide nothing
        with torch.no_grad():
            whole = model(ids.repeat(1, 2))[:, -1]
        assert not (close(first, expected) and close(second, whole)), name


def test_the_model_stays_as_it_was() -> None:
    model = random_model(ModelSettings(n_layer=1, n_head=2, n_embd=8, context_length=4))
    before = {name: each.clone() for name, each in model.state_dict().items()}
    list(write(model, [Draft([1], SamplingSettings(valid_utf8=False, max_tokens=9))]))
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())


class Derived(GPT):
    """Computes something else."""

    def head(self, features: Tensor) -> Tensor:
        """Return twice the logits."""
        return 2 * super().head(features)


class Doubled(FeedForward):
    """Computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        """Return twice the output."""
        return 2 * super().forward(x)


SMALL = ModelSettings(n_layer=1, n_head=2, n_embd=8, context_length=8, feed_forward="relu")


def others() -> dict[str, GPT]:
    """Models that a decoder would compute wrongly."""
    found = {name: random_model(SMALL) for name in ("patched", "network", "double", "bf16")}
    found["derived"] = Derived(SMALL, VOCAB).eval()
    mask = found["patched"].mask
    found["patched"].mask = lambda window, n_new: mask(window, n_new)  # type: ignore[method-assign]
    for block in found["network"].blocks():
        block.mlp = Doubled(SMALL)
    found["double"].double()
    found["bf16"].bfloat16()
    return found


@pytest.mark.parametrize("name", sorted(others()))
def test_what_it_does_not_know_is_read_by_the_model(name: str) -> None:
    model = others()[name]
    assert not decodes(model)
    assert type(reader(model, 2, use_cache=True)) is LogitReader
    how = SamplingSettings(valid_utf8=False, max_tokens=20, temperature=0.0)
    if name != "bf16":  # too coarse for equal tokens
        cached, uncached = (
            list(write(model, [Draft([1, 2], how)], use_cache=use)) for use in (True, False)
        )
        assert cached == uncached


@pytest.mark.parametrize(
    ("folder", "known"),
    [
        ("positions", decoder.POSITIONS),
        ("norms", decoder.NORMS),
        ("attentions", decoder.ATTENTIONS),
        ("feed_forwards", set(IN_NUMPY)),
    ],
)
def test_it_knows_every_option_of_the_package(folder: str, known: set[str]) -> None:
    assert set(options(f"model/{folder}")) == known


def test_a_feed_forward_network_that_somebody_adds_is_asked_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = random_model(SMALL)
    monkeypatch.delitem(IN_NUMPY, "relu")
    ids = [[1], [5]]
    with torch.no_grad():
        expected = model(torch.tensor(ids))[:, -1]
    reading = reader(model, 2, use_cache=True)
    assert type(reading) is Decoder
    assert close(reading.read(ids), expected)


def test_each_layer_is_asked_for_its_own_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(SMALL.model_copy(update={"n_layer": 3}))
    monkeypatch.delitem(IN_NUMPY, "relu")
    for slope, block in enumerate(model.blocks(), start=1):
        monkeypatch.setattr(block.mlp, "activation", lambda x, slope=slope: slope * x.relu())
    with torch.no_grad():
        expected = model(torch.tensor([[1]]))[:, -1]
    reading = reader(model, 1, use_cache=True)
    assert type(reading) is Decoder
    assert close(reading.read([[1]]), expected)


MODERN = ModelSettings(
    n_layer=2,
    n_head=2,
    n_embd=8,
    context_length=8,
    positions="rotary",
    feed_forward="relu",
    norm="rms",
    qk_norm=True,
    token_shift=True,
    ngrams=(2,),
    ngram_buckets=40,
)


@pytest.mark.parametrize(
    ("place", "name", "factor"),
    [
        (FeedForward, "activation", 1.1),
        (Positions, "rotate", None),
        (Norm, "forward", 1.1),
        (Attention, "forward", 1.1),
        (TokenShift, "forward", 1.1),
        (NgramEmbeddings, "forward", 1.1),
    ],
    ids=str,
)
def test_a_part_that_somebody_edits_is_read_by_the_model(
    place: type, name: str, factor: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(MODERN)
    assert type(reader(model, 2, use_cache=True)) is Decoder
    before = getattr(place, name)

    def edited(self: object, *given: Any, **named: Any) -> Any:
        if factor is None:
            return given[:2]  # queries and keys as they are
        return factor * before(self, *given, **named)

    monkeypatch.setattr(place, name, edited)
    assert type(reader(model, 2, use_cache=True)) is LogitReader


def test_the_decoders_cache_keeps_its_memory() -> None:
    cache = DecoderCache(SMALL, 2)
    reading = Decoder(random_model(SMALL), cache)
    before = cache.keys.data_ptr(), cache.values.data_ptr()
    reading.read([[1, 2, 3], [4, 5, 6]])
    for token in range(5):
        reading.read([[token], [token]])
    assert before == (cache.keys.data_ptr(), cache.values.data_ptr())
    assert cache.keys.shape == cache.values.shape == (1, 2, 2, 8, 4)
    assert (cache.long_values[..., -1] == 1).all()


def test_logits_stay_when_the_next_are_computed() -> None:
    reading = reader(random_model(SMALL), 1, use_cache=True)
    first = reading.read([[1]])
    before = first.copy()
    reading.read([[2]])
    assert np.array_equal(first, before)


def test_products_have_one_thread_and_the_callers_number_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = blas._threads()
    if found is None:
        pytest.skip("this NumPy brings no OpenBLAS, so it has no number of threads to set")
    count, change = found
    seen = []
    step = Decoder._step

    def noting(self: Decoder, ids: list[int]) -> npt.NDArray[np.float32]:
        seen.append(count())
        return step(self, ids)

    monkeypatch.setattr(Decoder, "_step", noting)
    before = count()
    try:
        change(2)
        reader(random_model(SMALL), 1, use_cache=True).read([[1]])
        assert (set(seen), count()) == ({1}, 2)
    finally:
        change(before)


def test_without_openblas_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_threads", lambda: None)
    with blas.one_thread():
        pass
