"""Hold the runs of an ablation, from which its table is computed, and as CSV.

`runs.csv` holds one line for each run and corpus, with numbers in full, so that a table can be
computed again from it without the results.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from variorum.report.adopted import MARK


@dataclass(frozen=True)
class Run:
    """Hold one run of an ablation: a variant with one seed, and its scores.

    scores: of the metric, by corpus. tuned: the value of the setting that is tuned; None: the
    variant's own. val_loss: in nats per token, of the chosen weights. tokens: that the
    judged training saw, in so many steps of so many sequences each. passes: those tokens of its own
    corpus over the tokens of that training text; None: it was trained elsewhere. flops: operations
    of that training; None: of a model that other code defines, which are not counted. key: of the
    judged model. evaluations: their keys, by corpus. adopted: a sentence for each of its results
    that was adopted from an older one.
    """

    variant: str
    seed: int
    scores: Mapping[str, float]
    key: str
    parameters: int
    tokens: int = 0
    steps: int = 0
    batch_size: int = 0
    passes: float | None = None
    flops: int | None = 0
    val_loss: float | None = None
    tuned: float | None = None
    evaluations: Mapping[str, str] | None = None
    adopted: tuple[str, ...] = ()

    @property
    def context_length(self) -> int:
        """Return the tokens of a sequence; 0 if it was trained elsewhere."""
        return self.tokens // max(1, self.steps * self.batch_size)

    @property
    def mark(self) -> str:
        """Return the mark to show behind the run if a result was adopted."""
        return MARK if self.adopted else ""


COLUMNS = (
    "variant",
    "tuned",
    "seed",
    "corpus",
    "value",
    "val_loss",
    "parameters",
    "tokens",
    "steps",
    "batch_size",
    "passes",
    "flops",
    "model",
    "evaluation",
    "adopted",
)


def csv_text(runs: Iterable[Run]) -> str:
    """Return every run on every corpus as CSV, with numbers in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run in runs:
        for corpus, value in run.scores.items():
            writer.writerow(_line(run, corpus, value))
    return text.getvalue()


def _line(run: Run, corpus: str, value: float) -> list[object]:
    return [
        run.variant,
        _written(run.tuned),
        run.seed,
        corpus,
        repr(value),
        _written(run.val_loss),
        run.parameters,
        run.tokens,
        run.steps,
        run.batch_size,
        _written(run.passes),
        "" if run.flops is None else run.flops,
        run.key,
        (run.evaluations or {}).get(corpus, ""),
        json.dumps(run.adopted),
    ]


def read_csv(text: str) -> list[Run]:
    """Read the runs that `csv_text` wrote."""
    lines: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for line in csv.DictReader(io.StringIO(text)):
        lines.setdefault((line["variant"], line["tuned"], line["seed"]), []).append(line)
    return [_read(each) for each in lines.values()]


def _read(lines: list[dict[str, str]]) -> Run:
    first = lines[0]
    return Run(
        variant=first["variant"],
        seed=int(first["seed"]),
        scores={line["corpus"]: float(line["value"]) for line in lines},
        key=first["model"],
        parameters=int(first["parameters"]),
        tokens=int(first["tokens"]),
        steps=int(first["steps"]),
        batch_size=int(first["batch_size"]),
        passes=_number(first["passes"]),
        flops=int(first["flops"]) if first["flops"] else None,
        val_loss=_number(first["val_loss"]),
        tuned=_number(first["tuned"]),
        evaluations={line["corpus"]: line["evaluation"] for line in lines},
        adopted=tuple(json.loads(first["adopted"])),
    )


def _written(number: float | None) -> str:
    return "" if number is None else repr(number)


def _number(text: str) -> float | None:
    """Read a number as it was written: whole ones stay whole."""
    return json.loads(text) if text else None
