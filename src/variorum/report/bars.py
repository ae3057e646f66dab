"""Compute the chart on top of the page: bits per byte of models and baselines."""

from dataclasses import dataclass

from variorum.evaluation.metrics import Kind
from variorum.report.content import Corpus, ReportData, Standing
from variorum.report.traced import Traced, derived


@dataclass(frozen=True)
class Bar:
    """Hold one bar: `share` of the longest bar's length, from 0 to 1.

    kind: of its colour: pretrained, finetuned or baseline.
    `interval` are the ends of its 95 % interval on the same scale; None where there is none.
    """

    label: Traced
    kind: str
    bits_per_byte: Traced
    share: Traced
    interval: Traced | None = None


def bars(report: ReportData, corpus: Corpus, kind: Kind) -> list[Bar]:
    """Return models and baselines with one kind of score on one corpus's test part.

    All charts share the scale.
    """
    longest = max(
        (_end(found) for one in report.corpora for found in one.standings),
        key=lambda traced: float(traced.value),
    )
    return [_bar(found, longest) for found in corpus.of_kind(kind)]


def _end(found: Standing) -> Traced:
    return found.bits_per_byte if found.interval.value is None else found.interval["high"]


def _bar(found: Standing, longest: Traced) -> Bar:
    ends = None if found.interval.value is None else (found.interval["low"], found.interval["high"])
    return Bar(
        found.name,
        found.who if found.model else "baseline",
        found.bits_per_byte,
        derived("ratio", found.bits_per_byte, longest),
        None if ends is None else derived("ratios", *ends, longest),
    )
