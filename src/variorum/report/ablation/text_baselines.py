"""Hold what compressors and n-grams need for the texts of an ablation, also as CSV.

`baselines.csv` holds one line for each, with numbers in full, so that a table can be computed again
from it without the results. Its column `train_read` is there if a baseline did not read all of
train.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from typing import Any

from variorum.evaluation.metrics import KINDS
from variorum.report.naming import baseline_name


@dataclass(frozen=True)
class TextBaseline:
    """Hold one baseline of one test text.

    kind: static, which learned from the training text alone, or adaptive, which learns from the
    test text too while it reads on. order: its longest context, chosen on val; None without one.
    result: the result that it is from. train_read: the bytes of train that it read, from the end;
    None: all.
    """

    corpus: str
    kind: str
    name: str
    order: int | None
    bits_per_byte: float
    result: str
    train_read: int | None = None

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
    read = content["train"]["read"] if "train" in content else None
    for kind in KINDS:
        for name, each in content[kind].items():
            needed = each["bits_per_byte"]
            yield TextBaseline(corpus, kind, name, each.get("order"), needed, result, read)


def lowest_static(baselines: Iterable[TextBaseline], corpus: str) -> TextBaseline | None:
    """Return the static baseline that needs the fewest bits for a corpus; None without any."""
    of_corpus = [each for each in baselines if (each.corpus, each.kind) == (corpus, "static")]
    return min(of_corpus, key=lambda each: each.bits_per_byte, default=None)


def csv_text(baselines: Iterable[TextBaseline]) -> str:
    """Return baselines as CSV, with numbers in full precision."""
    text, baselines = io.StringIO(), list(baselines)
    columns = COLUMNS if any(each.train_read for each in baselines) else COLUMNS[:-1]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(astuple(each)[: len(columns)] for each in baselines)
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
            int(line["train_read"]) if line.get("train_read") else None,
        )
        for line in csv.DictReader(io.StringIO(text))
    )
