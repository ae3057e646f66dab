"""Compute the chart on top of the page: bits per byte of models and baselines."""

from dataclasses import dataclass
from typing import Literal

from variorum.report.content import Corpus, ReportData
from variorum.report.naming import FINETUNED
from variorum.report.traced import Traced, derived


@dataclass(frozen=True)
class Bar:
    """Hold one bar: `share` of the longest bar's length, from 0 to 1.

    `interval` are the ends of its 95 % interval on the same scale; None where there is none.
    """

    label: Traced
    kind: Literal["pretrained", "finetuned", "baseline"]
    bits_per_byte: Traced
    share: Traced
    best: bool
    interval: Traced | None = None


def bars(report: ReportData, corpus: Corpus) -> list[Bar]:
    """Return models and baselines on one corpus's test part, on a common scale.

    Both corpora share the scale.
    """
    longest = max(
        [score.high for score in report.scores]
        + [each.bits_per_byte for one in report.corpora for each in one.baselines],
        key=lambda traced: float(traced.value),
    )
    own = [score for score in report.scores if score.corpus == corpus.role]
    least = min(
        [score.bits_per_byte.value for score in own]
        + [each.bits_per_byte.value for each in corpus.baselines]
    )
    return [
        Bar(
            score.name("model"),
            "finetuned" if score.model == FINETUNED else "pretrained",
            score.bits_per_byte,
            derived("ratio", score.bits_per_byte, longest),
            score.bits_per_byte.value == least,
            derived("ratios", score.low, score.high, longest),
        )
        for score in own
    ] + [
        Bar(
            each.name,
            "baseline",
            each.bits_per_byte,
            derived("ratio", each.bits_per_byte, longest),
            each.bits_per_byte.value == least,
        )
        for each in corpus.baselines
    ]
