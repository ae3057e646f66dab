"""Accuracy, calibration and loss by position on scores that are known."""

import numpy as np
import pytest

from variorum.evaluation.bits import Scores
from variorum.evaluation.score_details import accuracy, by_position, calibration_error, reliability


def scores(confidences: list[float], ranks: list[int]) -> Scores:
    return Scores(np.ones(len(ranks)), np.array(ranks), np.array(confidences))


def test_accuracy_counts_those_among_the_likeliest() -> None:
    found = scores([0.5] * 5, [0, 1, 4, 5, 0])
    assert accuracy(found, 1) == pytest.approx(2 / 5)
    assert accuracy(found, 5) == pytest.approx(4 / 5)


def test_bins_tell_how_often_each_confidence_was_right() -> None:
    found = reliability(scores([0.05, 0.91, 0.93, 0.95, 1.0], [3, 0, 0, 1, 0]))
    assert [each.tokens for each in found] == [1, 4]
    assert found[1].accuracy == pytest.approx(3 / 4)
    assert found[1].confidence == pytest.approx((0.91 + 0.93 + 0.95 + 1) / 4)


def test_who_knows_what_it_knows_has_no_error_and_a_braggart_has() -> None:
    draw = np.random.Generator(np.random.Philox(1))
    confidences = draw.uniform(0.1, 1, 50_000)
    honest = Scores(confidences, (draw.uniform(size=50_000) > confidences) * 1, confidences)
    assert calibration_error(reliability(honest)) < 0.01
    braggart = Scores(confidences, np.ones(50_000, dtype=np.int64), confidences)
    assert calibration_error(reliability(braggart)) == pytest.approx(confidences.mean(), abs=1e-9)


def test_positions_are_counted_in_ranges_that_double() -> None:
    nats = np.tile(np.arange(1.0, 7.0), 10)  # a context of 6: the first costs 1, the last 6
    assert by_position(nats[:-1], 6) == [
        {"from": 1, "to": 1, "nats_per_token": 1.0},
        {"from": 2, "to": 3, "nats_per_token": 2.5},
        {"from": 4, "to": 6, "nats_per_token": pytest.approx((4 * 10 + 5 * 10 + 6 * 9) / 29)},
    ]


@pytest.mark.parametrize(
    ("context", "ends"),
    [
        (1, [1]),
        (2, [1, 2]),
        (4, [1, 4]),
        (8, [1, 3, 8]),
        (11, [1, 3, 7, 11]),
        (128, [1, 3, 7, 15, 31, 63, 128]),
    ],
)
def test_ranges_go_to_the_end_and_none_is_a_remnant(context: int, ends: list[int]) -> None:
    assert [row["to"] for row in by_position(np.ones(context), context)] == ends


def test_a_text_shorter_than_its_context_has_fewer_ranges() -> None:
    assert [row["to"] for row in by_position(np.ones(5), 64)] == [1, 3, 7]
