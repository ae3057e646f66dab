"""Keep what each group of test documents costs, so that scores can be compared by pairs.

`groups.csv` has a line for each group, in the order of the text: its name, its bytes, and what it
costs by each of those who predict it. What a text costs depends on where it is from, so pairs of
whole groups tell two of them apart that intervals of each would not.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from variorum.corpus.documents import Document

Costs = NDArray[np.float64]


def write_groups(path: Path, found: Sequence[Document], columns: Mapping[str, Costs]) -> None:
    """Write the sums over the documents of each group; `columns` hold a cost a document (D,)."""
    places: dict[str, int] = {}
    numbers = [places.setdefault(document.group, len(places)) for document in found]
    n_bytes = [len(document.text.encode()) for document in found]
    sums = [_sums(numbers, np.array(values)) for values in (n_bytes, *columns.values())]
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["group", "bytes", *columns])
        for place, group in enumerate(places):
            lines.writerow([group, *(each[place].item() for each in sums)])


def _sums(numbers: Sequence[int], values: NDArray[np.float64] | NDArray[np.int64]) -> Costs:
    sums: Costs = np.zeros(max(numbers, default=-1) + 1, dtype=values.dtype)
    np.add.at(sums, numbers, values)
    return sums
