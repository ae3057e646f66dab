"""The flat vector holds every parameter once, and its shares are all of it."""

import pytest
import torch

from variorum.base.errors import VariorumError
from variorum.config.model_settings import ModelSettings
from variorum.model.gpt import GPT
from variorum.training import flat
from variorum.training.flat import Layout

SETTINGS = ModelSettings(
    n_layer=2, n_head=2, n_embd=12, context_length=8, feed_forward="swiglu", token_shift=True
)


@pytest.fixture
def model() -> GPT:
    return GPT(SETTINGS, 11, seed=1)


def test_parameters_live_in_the_vector(model: GPT) -> None:
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    layout = Layout.of(model)
    vector = flat.gather(layout, model)
    flat.attach(layout, model, vector)
    assert all(torch.equal(weights, before[name]) for name, weights in model.state_dict().items())
    vector.zero_()
    assert not any(weights.any() for weights in model.state_dict().values())


def test_each_parameter_has_its_own_aligned_place(model: GPT) -> None:
    layout = Layout.of(model)
    marks = torch.zeros(layout.size)
    for name, part in layout.views(marks):
        assert not part.any(), name
        assert layout.offsets[name] % flat.ALIGNMENT == 0
        part.fill_(1)
    assert int(marks.sum()) == model.n_parameters


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("whole", [True, False])
def test_shares_together_are_all_of_it_once(model: GPT, count: int, whole: bool) -> None:
    layout = Layout.of(model)
    marks = torch.zeros(layout.size)
    shares = layout.shares(count, matrices_whole=whole)
    assert len(shares) == count
    for share in shares:
        marks[share.run] += 1
        for names in share.matrices:
            assert len({layout.shapes[name] for name in names}) == 1
            for name in names:
                layout.view(marks, name).add_(1)
                assert name.startswith("h.")
    taken = torch.ones(layout.size)
    for _, part in layout.views(taken):
        part.zero_()  # what is left are gaps, which nobody has to take
    assert torch.equal(marks.clamp(min=taken), torch.ones(layout.size))
    assert marks.max() == 1


def test_whole_matrices_are_dealt_evenly(model: GPT) -> None:
    layout = Layout.of(model)
    sizes = [
        sum(layout.shapes[name].numel() for names in share.matrices for name in names)
        for share in layout.shares(2, matrices_whole=True)
    ]
    assert max(sizes) < 1.3 * min(sizes)


def test_decay_is_for_what_has_two_dimensions_and_is_trained(model: GPT) -> None:
    flat.freeze(model, ["h.0"])
    layout = Layout.of(model)
    decayed = dict(layout.views(flat.decayed(layout, model)))
    assert decayed["wte.weight"].all()
    assert decayed["h.1.attn.c_attn.weight"].all()
    assert not decayed["h.0.attn.c_attn.weight"].any()
    assert not decayed["h.1.attn.c_attn.bias"].any()
    assert not decayed["shift.share"].any()


@pytest.mark.parametrize(
    ("beginning", "example"),
    [("wte", "wte.weight"), ("h.1", "h.1.mlp.c_fc.weight"), ("h.1.attn", "h.1.attn.c_proj.bias")],
)
def test_what_is_frozen_is_what_begins_so(model: GPT, beginning: str, example: str) -> None:
    flat.freeze(model, [beginning])
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert example in frozen
    assert all(name.startswith(f"{beginning}.") for name in frozen)


def test_a_name_that_is_none_and_a_model_with_nothing_left_are_refused(model: GPT) -> None:
    with pytest.raises(VariorumError, match=r"called h\.7; it has wte, .*h\.0, h\.1"):
        flat.freeze(model, ["h.7"])
    with pytest.raises(VariorumError, match="nothing is left to train"):
        flat.freeze(model, ["h", "wte", "ln_f", "shift", "positions"])
