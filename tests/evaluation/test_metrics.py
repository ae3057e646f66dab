"""A metric is one entry, which says how it is shown."""

import pytest

from conftest import ROOT
from variorum.evaluation.metrics import HEADLINE, METRICS
from variorum.report.traced import WAYS


@pytest.mark.parametrize("name", METRICS)
def test_an_entry_says_how_it_is_shown(name: str) -> None:
    metric = METRICS[name]
    assert metric.way.split()[0] in WAYS
    assert metric.name == name
    assert metric.label
    assert metric.unit


def test_the_headline_is_a_metric_that_no_tokenizer_changes() -> None:
    assert HEADLINE.per == "byte"


def test_no_list_of_metrics_stands_anywhere_else() -> None:
    names = [name for name in METRICS if name != HEADLINE.name]
    for path in (ROOT / "src/variorum").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found = [name for name in names if f'"{name}"' in text]
        computes = path.name in ("metrics.py", "evaluate.py", "bits.py")
        assert computes or len(found) < 2, f"{path} names {', '.join(found)}"
