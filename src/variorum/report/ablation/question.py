"""Hold what an ablation asks, of which settings and texts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from variorum.evaluation.metrics import HEADLINE, Metric
from variorum.report.statistics import Looks


@dataclass(frozen=True)
class Question:
    """Hold what was asked.

    variants: their names, in the order of the table. experiment: whose settings they change.
    texts: the source of each corpus. changes: what each variant changes, by setting. axes: the
    settings of a grid, whose combinations are variants. margin: how far intervals of variants that
    are alike may reach to each side of 0, in the metric's unit. looks: how often the runs may be
    looked at. tuned: the setting that is tuned, if one is. codes: the name of a variant's code,
    where the present code does not run it. edited: whether a variant's code differs from the
    baseline's, where it could. pinned: the names under which the models of variants are pinned.
    """

    title: str
    question: str
    variants: tuple[str, ...]
    baseline: str
    command: str
    metric: Metric = HEADLINE
    experiment: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    axes: tuple[str, ...] = ()
    margin: float | None = None
    looks: Looks = "once"
    tuned: str | None = None
    codes: Mapping[str, str] = field(default_factory=dict)
    edited: Mapping[str, bool] = field(default_factory=dict)
    pinned: Mapping[str, str] = field(default_factory=dict)

    def is_of_grid(self, variant: str) -> bool:
        """Return whether a variant changes what a combination of the grid changes, and no more."""
        return bool(self.axes) and self.changes.get(variant, {}).keys() == {*self.axes}
