"""Report what trainings took, and where, which may differ each time.

So no manifest lists these facts. A stage notes them for its `run.json`; they are shown as
`costs.csv` beside a published table.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from variorum.store.result import Result

FACTS = ("seconds", "tokens_per_second", "processes", "device", "processor", "cores")


def cost(run: str, model: Result) -> dict[str, Any]:
    """Return how long the training of this model took, and where.

    `run` is the name that people know it by.
    """
    return {"run": run, **{fact: model.run.get(fact) for fact in FACTS}}


def csv_text(costs: Iterable[Mapping[str, Any]]) -> str:
    """Return costs as CSV, one line a training."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ("run", *FACTS), lineterminator="\n")
    writer.writeheader()
    writer.writerows(costs)
    return text.getvalue()
