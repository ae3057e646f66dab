"""Choosing among the likely tokens gives what sorting all of them gives, to the last tie."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oracles.sampling import by_sorting
from variorum.config.evaluation_settings import SamplingSettings
from variorum.generation import choice
from variorum.generation.choice import Numbers, next_tokens

Rows = npt.NDArray[np.float32]

SETTINGS = st.builds(
    lambda **given: SamplingSettings(valid_utf8=False, **given),
    temperature=st.sampled_from([0.0, 1e-9, 1e-3, 0.3, 0.8, 1.0, 5.0, 1e9]),
    top_k=st.none() | st.integers(1, 400),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.25, 1e-6]) | st.floats(1e-9, 1.0),
    min_p=st.sampled_from([0.0, 0.0, 1.0, 0.05]) | st.floats(0.0, 1.0),
)


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    """Logits of a few texts: smooth, peaked, full of ties, excluded or far apart."""
    size = draw(st.sampled_from([1, 2, 5, 40, 300]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = random.normal(size=(draw(st.integers(1, 4)), size))
    logits *= draw(st.sampled_from([0.0, 0.1, 3.0, 40.0, 1e30]))
    if draw(st.booleans()):
        logits = np.round(logits)  # ties
    if draw(st.booleans()):
        logits[:, 1:][random.random((len(logits), size - 1)) < 0.5] = -np.inf
    return logits.astype(draw(st.sampled_from([np.float32, np.float64])))


@settings(max_examples=400, deadline=None)
@given(rows(), st.lists(SETTINGS, min_size=4, max_size=4), st.integers(0, 2**32))
@example(np.zeros((1, 4), np.float32), [SamplingSettings(temperature=1.0, top_p=0.5)] * 4, 1)
@example(np.zeros((1, 4), np.float32), [SamplingSettings(temperature=1.0, min_p=1.0)] * 4, 1)
def test_every_token_is_the_one_that_sorting_all_gives(
    logits: Rows, chosen: list[SamplingSettings], seed: int
) -> None:
    chosen = chosen[: len(logits)]
    ours = [Numbers(seed + row) for row in range(len(logits))]
    theirs = [Numbers(seed + row) for row in range(len(logits))]
    for _ in range(6):
        expected = [
            by_sorting(row.tolist(), how, number.next() if how.temperature else 0.0)
            for row, how, number in zip(logits, chosen, theirs, strict=True)
        ]
        assert next_tokens(logits, chosen, ours) == expected


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.3, 0.95, 1.0]), st.none() | st.integers(1, 99))
def test_a_number_at_the_edge_of_a_share_is_decided_by_sorting(
    seed: int, top_p: float, top_k: int | None
) -> None:
    """The sums of float32 would take the wrong side of it."""
    logits = np.random.default_rng(seed).normal(scale=2, size=(1, 500)).astype(np.float32)
    how = SamplingSettings(temperature=0.9, top_p=top_p, top_k=top_k, valid_utf8=False)
    scores, _ = (torch.from_numpy(logits[0]).double() / 0.9).sort(descending=True)
    edges = scores[:top_k].softmax(0).cumsum(0)
    for edge in edges[:5].tolist():
        for number in (edge, np.nextafter(edge, 0), np.nextafter(edge, 1), edge / top_p):
            uniform = min(float(number), 1 - 2**-53)
            expected = by_sorting(logits[0].tolist(), how, uniform)
            assert next_tokens(logits, [how], [Fixed(uniform)]) == [expected]


class Fixed(Numbers):
    """One number, always."""

    def __init__(self, number: float) -> None:
        super().__init__(0)
        self._number = number

    def next(self) -> float:
        """The number."""
        return self._number


def test_the_usual_token_needs_no_sorting_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the test above would compare the definition with itself."""
    sorted_all = []
    real = choice._among_all
    monkeypatch.setattr(choice, "_among_all", lambda *given: sorted_all.append(1) or real(*given))
    logits = np.random.default_rng(1).normal(scale=3, size=(1, 5000)).astype(np.float32)
    numbers = Numbers(1)
    for how in (
        SamplingSettings(top_p=0.95),
        SamplingSettings(top_p=1.0, top_k=40),
        SamplingSettings(top_p=1.0, min_p=0.05),
        SamplingSettings(top_p=0.9, min_p=0.05, top_k=3000),
    ):
        for _ in range(100):
            next_tokens(logits, [how], [numbers])
    assert len(sorted_all) < 20


@given(st.integers(0, 2**40))
def test_numbers_in_blocks_are_those_drawn_one_by_one(seed: int) -> None:
    generator, numbers = torch.Generator().manual_seed(seed), Numbers(seed)
    for _ in range(200):
        one = float(torch.rand((), dtype=torch.float64, generator=generator))
        assert numbers.next() == one
