"""What each position encoding promises."""

import cmath

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from variorum.base import components
from variorum.config.model_settings import ModelSettings
from variorum.model.position_encoding import PositionEncoding

SIZE = {"n_layer": 1, "n_head": 2, "n_embd": 16, "context_length": 64}


def encoding(name: str, **changes: object) -> PositionEncoding:
    chosen = ModelSettings(**{**SIZE, "positions": name, **changes})
    positions: PositionEncoding = components.load("model/positions", name).Positions(chosen)
    return positions


def some_heads(length: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    queries, keys = torch.randn(2, 1, 2, length, 8, generator=draw)
    return queries, keys


def scores(positions: PositionEncoding, queries: Tensor, keys: Tensor, start: int) -> Tensor:
    turned, other = positions.rotate(queries, keys, start)
    return turned @ other.transpose(-1, -2)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(0, 44), st.integers(0, 99))
def test_rotary_scores_depend_on_distance_alone(length: int, start: int, seed: int) -> None:
    rotary, heads = encoding("rotary"), some_heads(length, seed)
    moved, unmoved = scores(rotary, *heads, start), scores(rotary, *heads, 0)
    torch.testing.assert_close(moved, unmoved, rtol=1e-4, atol=1e-4)


def test_rotary_scores_do_depend_on_distance() -> None:
    vector = torch.randn(8, generator=torch.Generator().manual_seed(1))
    same = vector.expand(1, 2, 10, 8).contiguous()
    found = scores(encoding("rotary"), same, same, 0)[0, 0, -1]
    assert found.unique().numel() == 10


def test_rotary_keeps_lengths_and_position_zero() -> None:
    queries, keys = some_heads(20, 3)
    turned, other = encoding("rotary").rotate(queries, keys, 0)
    torch.testing.assert_close(turned.norm(dim=-1), queries.norm(dim=-1))
    torch.testing.assert_close(other.norm(dim=-1), keys.norm(dim=-1))
    assert torch.equal(turned[..., 0, :], queries[..., 0, :])


def test_rotary_turns_each_pair_by_its_own_angle() -> None:
    base, start = 500.0, 7
    queries, keys = some_heads(5, 4)
    turned, _ = encoding("rotary", rotary_base=base).rotate(queries, keys, start)
    for place in range(5):
        for pair in range(4):
            angle = (start + place) * base ** (-2 * pair / 8)
            x, y = queries[0, 1, place, 2 * pair : 2 * pair + 2].tolist()
            expected = complex(x, y) * cmath.exp(1j * angle)
            found = complex(*turned[0, 1, place, 2 * pair : 2 * pair + 2].tolist())
            assert abs(found - expected) < 1e-5


def test_rotary_has_no_parameters_and_writes_nothing_into_files() -> None:
    assert not encoding("rotary").state_dict()


def test_learned_adds_the_row_of_each_position() -> None:
    learned = encoding("learned")
    x = torch.zeros(2, 5, 16)
    found = learned.embed(x, start=3)
    assert torch.equal(found[0], learned.wpe.weight[3:8])
    assert torch.equal(found[1], found[0])
    queries, keys = some_heads(5, 1)
    assert torch.equal(learned.rotate(queries, keys, 0)[0], queries)
