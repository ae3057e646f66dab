"""Hold what compressors and n-grams need for the texts of an ablation, also as CSV.

`baselines.csv` holds one line for each, with numbers in full, so that a table can be computed again
from it without the results.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from variorum.evaluation.metrics import KINDS
from variorum.report.naming import baseline_name


@dataclass(frozen=True)
class TextBaseline:
    """Hold one baseline of one test text.

    kind: static, which learned from the training text alone, or adaptive, which learns from the
    test text too while it reads on. order: its longest context, chosen on val; None without one.
    result: the result that it is from.
    """

    corpus: str
    kind: str
    name: str
    order: int | None
    bits_per_byte: float
    result: str

    @property
    def title(self) -> str:
        """Return what people call it, such as `PPMd of order 16`."""
        return baseline_name(self.name, self.order)

    @property
    def label(self) -> str:
        """Return what people call it with any order, such as `PPMd`."""
        return baseline_name(self.name)


COLUMNS = tuple(field.name for field in fields(TextBaseline))


def measured(corpus: str, content: Mapping[str, Any], result: str) -> Iterator[TextBaseline]:
    """Yield the baselines in the content of a `metrics.json`, of a corpus and a result."""
    for kind in KINDS:
        for name, each in content[kind].items():
            needed = each["bits_per_byte"]
            yield TextBaseline(corpus, kind, name, each.get("order"), needed, result)


def lowest_static(baselines: Iterable[TextBaseline], corpus: str) -> TextBaseline | None:
    """Return the static baseline that needs the fewest bits for a corpus; None without any."""
    of_corpus = [each for each in baselines if (each.corpus, each.kind) == (corpus, "static")]
    return min(of_corpus, key=lambda each: each.bits_per_byte, default=None)


def csv_text(baselines: Iterable[TextBaseline]) -> str:
    """Return baselines as CSV, with numbers in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in baselines:
        order = "" if each.order is None else each.order
        writer.writerow(
            [each.corpus, each.kind, each.name, order, repr(each.bits_per_byte), each.result]
        )
    return text.getvalue()


def read_csv(text: str) -> tuple[TextBaseline, ...]:
    """Read the baselines that `csv_text` wrote."""
    return tuple(
        TextBaseline(
            line["corpus"],
            line["kind"],
            line["name"],
            int(line["order"]) if line["order"] else None,
            float(line["bits_per_byte"]),
            line["result"],
        )
        for line in csv.DictReader(io.StringIO(text))
    )
