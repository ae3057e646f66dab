"""Define the metrics of an evaluation, one entry each.

Tables, page, settings and `runs()` read these entries.

`stages.evaluate` computes the values. It does not read these entries, so another label moves no
evaluation's key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

SHARE = "share"

Kind = Literal["static", "adaptive"]
"""Of a score: who predicts learned from train alone, or learns from the text while reading it."""

KINDS: tuple[Kind, ...] = ("static", "adaptive")


@dataclass(frozen=True)
class Metric:
    """Describe a metric: its name, direction, unit and label.

    better: the direction. unit: of the value; `SHARE` for one from 0 to 1. per: what it is a mean
    over. label: in tables; heading: over its column on the page, if not the label. way: the page's
    format, one of `report.traced.WAYS`. place: where it stands in `metrics.json`, if not under its
    name.
    """

    name: str
    better: Literal["lower", "higher"]
    unit: str
    per: Literal["byte", "character", "token"]
    label: str
    heading: str = ""
    way: str = "fixed"
    place: tuple[str, ...] = ()

    def of(self, metrics: Any) -> Any:
        """Return the value in the content of a `metrics.json`, or in a `Traced` of it."""
        for step in self.place or (self.name,):
            metrics = metrics[step]
        return metrics

    @property
    def column(self) -> str:
        """Return the heading of the metric's column on the page."""
        return self.heading or self.label


ENTRIES = (
    Metric("bits_per_byte", "lower", "bits", "byte", "bits per byte"),
    Metric("nats_per_token", "lower", "nats", "token", "nats per token"),
    Metric("perplexity", "lower", "tokens", "token", "perplexity", way="fixed 2"),
    Metric(
        "top_1",
        "higher",
        SHARE,
        "token",
        "top-1 accuracy",
        heading="top one",
        way="percent",
        place=("accuracy", "top_1"),
    ),
    Metric(
        "top_5",
        "higher",
        SHARE,
        "token",
        "top-5 accuracy",
        heading="top five",
        way="percent",
        place=("accuracy", "top_5"),
    ),
    Metric("calibration_error", "lower", SHARE, "token", "calibration error", way="percent"),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in ENTRIES}
"""By name, in the order of the page."""

HEADLINE = METRICS["bits_per_byte"]
"""The metric that judges everything by default: it does not depend on the tokenizer."""
