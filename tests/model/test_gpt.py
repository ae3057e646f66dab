"""The model computes what GPT-2 computes, sees no future, and begins as its seed says."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from variorum.base import components
from variorum.base.errors import VariorumError
from variorum.config.model_settings import ModelSettings
from variorum.model import positions as positions_folder
from variorum.model.gelu import gelu
from variorum.model.gpt import GPT
from variorum.model.gpt2 import GPT2

VOCAB = 31
SIZE = {"n_layer": 3, "n_head": 2, "n_embd": 24, "context_length": 20}

# every choice on its own, and what has to work together
VARIANTS: list[dict[str, object]] = [
    *({"positions": name} for name in components.options("model/positions")),
    *({"feed_forward": name} for name in components.options("model/feed_forwards")),
    {"norm": "rms"},
    {"norm_position": "after"},
    {"attention": "written_out"},
    {"attention": "written_out", "positions": "alibi"},
    {"document_attention": True},
    {"document_attention": True, "positions": "alibi"},
    {"qk_norm": True},
    {"token_shift": True},
    {"ngrams": (2, 3), "ngram_buckets": 50},
    {"tied_head": False},
    {"norm": "rms", "token_shift": True, "ngrams": (3,), "qk_norm": True, "zero_outputs": True},
]

ALIBI = '''
"""Attention with linear biases (Press et al. 2022): the further away, the less a token counts."""

import torch

from variorum.model.position_encoding import PositionEncoding


class Positions(PositionEncoding):
    def __init__(self, settings):
        super().__init__(settings)
        self.slopes = torch.nn.Parameter(torch.zeros(settings.n_head))

    def bias(self, n_queries, n_keys):
        places = torch.arange(n_keys)
        distances = places[-n_queries:, None] - places
        return -distances * (1 + self.slopes[:, None, None])
'''


def model_with(**changes: object) -> GPT:
    return shaken(GPT(ModelSettings(**{**SIZE, **changes}), VOCAB, seed=1).eval())


def shaken(model: GPT) -> GPT:
    """The model with larger weights, and with biases and norms that do something."""
    draw = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=draw)
    return model


def some_ids(batch: int = 2, length: int = 20, seed: int = 0) -> Tensor:
    return torch.randint(VOCAB, (batch, length), generator=torch.Generator().manual_seed(seed))


def twin_of(model: GPT) -> GPT2:
    twin = GPT2(VOCAB, SIZE["context_length"], SIZE["n_layer"], SIZE["n_head"], SIZE["n_embd"])
    weights = {name.removeprefix("positions."): w for name, w in model.state_dict().items()}
    twin.load_state_dict(weights, strict=True)
    return twin


@pytest.fixture
def my_positions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelSettings]:
    """Settings that choose an encoding which is nothing but one file in the folder."""
    (tmp_path / "my_positions.py").write_text(ALIBI, encoding="utf-8")
    monkeypatch.setattr(positions_folder, "__path__", [*positions_folder.__path__, str(tmp_path)])
    yield ModelSettings(**SIZE).model_copy(update={"positions": "my_positions"})
    sys.modules.pop("variorum.model.positions.my_positions", None)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 20), st.integers(0, 99))
def test_logits_equal_the_plain_twins(batch: int, length: int, seed: int) -> None:
    model = model_with()
    ids = some_ids(batch, length, seed)
    torch.testing.assert_close(model(ids), twin_of(model)(ids), rtol=1e-5, atol=1e-5)


def test_gradients_equal_the_plain_twins() -> None:
    model = model_with().train()
    twin = twin_of(model)
    ids, targets = some_ids(), some_ids(seed=1)
    model.loss(ids, targets).backward()
    F.cross_entropy(twin(ids).flatten(0, 1), targets.flatten()).backward()
    expected = {name: parameter.grad for name, parameter in twin.named_parameters()}
    for name, parameter in model.named_parameters():
        other = expected.pop(name.removeprefix("positions."))
        torch.testing.assert_close(parameter.grad, other, rtol=1e-4, atol=1e-6)
    assert not expected


def test_the_twin_fits_on_three_pages() -> None:
    lines = Path(sys.modules[GPT2.__module__].__file__ or "").read_text("utf-8").splitlines()
    assert len(lines) <= 150


def sees_the_future(model: GPT) -> bool:
    """Whether another token at some place changes the logits of an earlier one."""
    ids = some_ids(1)
    with torch.no_grad():
        before = model(ids)
        for place in range(1, ids.shape[1]):
            other = ids.clone()
            other[0, place] = (other[0, place] + 1) % VOCAB
            after = model(other)
            assert not torch.equal(after[0, place:], before[0, place:])
            if not torch.equal(after[0, :place], before[0, :place]):
                return True
    return False


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_no_token_sees_the_future(changes: dict[str, object]) -> None:
    assert not sees_the_future(model_with(**changes))


def test_a_mask_that_leaks_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    attention = F.scaled_dot_product_attention

    def leaking(*tensors: Tensor, is_causal: bool, **others: object) -> Tensor:
        length = tensors[0].shape[2]
        mask = torch.ones(length, length, dtype=torch.bool).tril(1)  # one token too many
        return attention(*tensors, **{**others, "attn_mask": mask})

    monkeypatch.setattr(F, "scaled_dot_product_attention", leaking)
    assert sees_the_future(model_with())


@pytest.mark.parametrize("positions", sorted({*components.options("model/positions")} - {"none"}))
def test_the_order_of_the_past_matters(positions: str) -> None:
    model = model_with(positions=positions, n_layer=1)
    with torch.no_grad():
        first, second = model(torch.tensor([[1, 2, 3, 4], [3, 2, 1, 4]]))[:, -1]
    assert (first - second).abs().max() > 1e-3


def test_a_new_encoding_is_one_file_and_nothing_else(my_positions: ModelSettings) -> None:
    model = shaken(GPT(my_positions, VOCAB))
    assert not sees_the_future(model)
    model.loss(some_ids(), some_ids(seed=1)).backward()
    assert model.positions.slopes.grad.abs().min() > 0
    with torch.no_grad():
        first, second = model(torch.tensor([[1, 2, 3, 4], [3, 2, 1, 4]]))[:, -1]
    assert (first - second).abs().max() > 1e-3


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_equal_seeds_give_equal_bits_whatever_was_drawn_before(changes: dict[str, object]) -> None:
    chosen = ModelSettings(**SIZE, **changes)
    torch.manual_seed(1)
    first = GPT(chosen, VOCAB, seed=7).state_dict()
    torch.manual_seed(2)
    second = GPT(chosen, VOCAB, seed=7).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = GPT(chosen, VOCAB, seed=8).state_dict()
    assert not torch.equal(first["h.0.attn.c_attn.weight"], other["h.0.attn.c_attn.weight"])


def test_init_weights_begins_anew() -> None:
    model = model_with()
    model.init_weights(7)
    expected = GPT(model.settings, VOCAB, seed=7).state_dict()
    assert all(torch.equal(w, expected[name]) for name, w in model.state_dict().items())


def test_building_a_model_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    GPT(ModelSettings(**SIZE), VOCAB)
    assert torch.equal(before, torch.random.get_rng_state())


def test_variants_begin_with_the_same_values_where_they_have_the_same_parameters() -> None:
    learned = GPT(ModelSettings(**SIZE), VOCAB, seed=3).state_dict()
    rotary = GPT(ModelSettings(**SIZE, positions="rotary", bias=False), VOCAB, seed=3).state_dict()
    assert all(torch.equal(w, learned[name]) for name, w in rotary.items())
    matrices = [w.flatten()[:500].tolist() for w in learned.values() if w.dim() == 2]
    assert len({tuple(values) for values in matrices}) == len(matrices)


def test_initial_weights_are_spread_as_in_gpt2() -> None:
    model = GPT(ModelSettings(n_layer=8, n_head=2, n_embd=64, context_length=64), 500)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif ".ln_" in f".{name}":
            assert bool((parameter == 1).all())
        else:
            expected = 0.02 / math.sqrt(16) if name.endswith("c_proj.weight") else 0.02
            assert parameter.std().item() == pytest.approx(expected, rel=0.05), name
            assert abs(parameter.mean().item()) < 0.05 * expected * 4, name


def test_an_untrained_model_knows_nothing() -> None:
    loss = GPT(ModelSettings(**SIZE), VOCAB).loss(some_ids(), some_ids(seed=1))
    assert loss.item() == pytest.approx(math.log(VOCAB), abs=0.1)


def test_the_loss_is_the_mean_of_minus_log_probability() -> None:
    model, ids, targets = model_with(), some_ids(), some_ids(seed=1)
    probabilities = model(ids).double().softmax(-1)
    nats = -probabilities.gather(-1, targets[..., None]).log().mean()
    assert model.loss(ids, targets).item() == pytest.approx(nats.item(), abs=1e-6)


def test_the_embedding_is_the_output_layer() -> None:
    model = model_with()
    assert sum(VOCAB in parameter.shape for parameter in model.parameters()) == 1
    with torch.no_grad():
        before = model(torch.tensor([[1, 2]]))
        model.wte.weight[5] += 1  # a token that is not read
        after = model(torch.tensor([[1, 2]]))
    changed = (before != after).any(dim=(0, 1))
    assert changed.nonzero().flatten().tolist() == [5]


@pytest.mark.parametrize("bias", [True, False])
def test_parameters_are_counted_once(bias: bool) -> None:
    width, layers = SIZE["n_embd"], SIZE["n_layer"]
    vectors = (4 + 9) * width if bias else 2 * width  # norms; and c_attn 3, c_proj 1, mlp 4 + 1
    expected = (VOCAB + SIZE["context_length"]) * width
    expected += layers * (12 * width**2 + vectors) + (2 if bias else 1) * width
    assert model_with(bias=bias).n_parameters == expected


def test_without_bias_no_bias_is_left() -> None:
    names = [name for name, _ in model_with(bias=False).named_parameters()]
    assert names
    assert not [name for name in names if name.endswith("bias")]


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_dropout_is_on_in_training_and_off_in_use(positions: str) -> None:
    model, ids = model_with(dropout=0.3, positions=positions), some_ids()
    assert torch.equal(model(ids), model(ids))
    without = model_with(positions=positions)
    assert torch.equal(model(ids), without(ids))
    model.train()
    assert not torch.equal(model(ids), model(ids))


def test_dropout_follows_the_global_seed() -> None:
    model, ids = model_with(dropout=0.3).train(), some_ids()
    torch.manual_seed(4)
    first = model(ids)
    torch.manual_seed(4)
    assert torch.equal(first, model(ids))


def test_more_than_the_context_is_refused() -> None:
    with pytest.raises(VariorumError, match="21 tokens, and its context_length is 20"):
        model_with()(some_ids(1, 21))


def test_gradients_are_the_same_bits_every_time() -> None:
    ids, targets = some_ids(), some_ids(seed=1)
    found = []
    for _ in range(2):
        model = model_with().train()
        model.loss(ids, targets).backward()
        found.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@settings(deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=20))
def test_gelu_and_its_derivative_are_pytorchs(values: list[float]) -> None:
    ours = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    y, expected = gelu(ours), F.gelu(theirs, approximate="tanh")
    torch.testing.assert_close(y, expected)
    y.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
