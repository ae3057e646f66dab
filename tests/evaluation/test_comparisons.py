"""Pairs of who predict one text: differences that hold together."""

import numpy as np
import pytest

from variorum.evaluation.comparisons import comparison
from variorum.evaluation.intervals import CONFIDENCE, of_parts

N_BYTES = np.full(20, 1000)


def costs(seed: int, **shifts: float) -> dict[str, np.ndarray]:
    """Bits of parts that are hard for all alike, and by name a shift in bits per byte."""
    draw = np.random.Generator(np.random.Philox(seed))
    hard = 1500 + 150 * draw.normal(size=20)
    return {name: hard + 1000 * shift + 5 * draw.normal(size=20) for name, shift in shifts.items()}


def test_every_model_is_compared_with_those_before_it_and_with_every_baseline() -> None:
    found = comparison(costs(1, a=0, b=0, x=0, y=0), ["a", "b"], N_BYTES, "groups")
    assert {model: set(others) for model, others in found["pairs"].items()} == {
        "a": {"x", "y"},
        "b": {"a", "x", "y"},
    }
    assert set(found["scores"]) == {"a", "b", "x", "y"}
    assert found["confidence"] == pytest.approx(1 - 0.05 / 5)


def test_a_difference_is_the_models_cost_less_the_others() -> None:
    both = costs(2, model=0.0, other=0.05)
    found = comparison(both, ["model"], N_BYTES, "groups")
    [pair] = found["pairs"]["model"].values()
    assert pair["value"] == pytest.approx(-0.05, abs=0.01)
    assert pair["high"] < 0, "what is hard for both cancels"
    one, two = (found["scores"][name] for name in ("model", "other"))
    assert one["high"] > two["low"], "alone they overlap"
    expected = of_parts(both["model"] - both["other"], N_BYTES, "groups", CONFIDENCE)
    assert expected is not None
    assert (pair["low"], pair["high"]) == (expected.low, expected.high)


def test_all_differences_hold_together() -> None:
    """Ten useless models beside one baseline: seldom does any differ."""
    names = [f"m{n}" for n in range(10)]
    wrong = 0
    for seed in range(300):
        found = comparison(
            costs(seed, **dict.fromkeys([*names, "x"], 0.0)),
            names,
            N_BYTES,
            "groups",
        )
        wrong += any(
            not pair["low"] <= 0 <= pair["high"]
            for others in found["pairs"].values()
            for pair in others.values()
        )
    assert wrong / 300 < 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_a_text_of_one_part_has_no_intervals() -> None:
    found = comparison({"a": np.array([5.0]), "x": np.array([4.0])}, ["a"], np.array([9]), "blocks")
    assert found["scores"] == {"a": None, "x": None}
    assert found["pairs"] == {"a": {"x": None}}
