"""The memory of each stage that reads text or groups, by the size of the text.

    python benchmarks/memory.py                             # 10 and 100 MB
    python benchmarks/memory.py 10 100 500 --table peaks.csv --figure memory.svg
    python benchmarks/memory.py 10 --shapes rows --stages normalize baselines

Texts are made up, of two shapes: one single text, split by position, and rows of a table, each a
document and a group of its own. Each stage runs in a process of its own, by its own code. Prints
the peak of its memory beside that of a process that has imported the stage, and its processor time.

The model is tiny and trained for a few steps. In `evaluate` and `dynamic` it scores the first
tokens of the test part, and their scores are repeated for the others, as all would take hours.
`stress` reads its texts and writes none. `comparisons` is of a model and a baseline that cost
alike. `baselines`, with one order of PPMd, takes long and is measured only if it is named.
"""

import argparse
import csv
import json
import multiprocessing
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from functools import partial
from importlib import import_module
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from peak_memory import peak_memory

from variorum.base.machine import Machine
from variorum.base.progress import Progress
from variorum.config.canonical import canonical
from variorum.config.corpus_settings import NormalizeSettings, SplitSettings
from variorum.config.evaluation_settings import (
    BaselineSettings,
    DynamicSettings,
    EvaluateSettings,
    StressSettings,
)
from variorum.config.model_settings import ModelSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.config.training_settings import TrainingSettings
from variorum.corpus.sources.csv import CsvSource
from variorum.corpus.sources.files import FilesSource
from variorum.identity.spec import Ref, Spec
from variorum.stages.task import Task
from variorum.store.result import Result

MB = 1_000_000
SHAPES = ("one text", "rows")
STAGES = (
    *("download", "normalize", "tokenizer", "encode", "pretrain"),
    *("evaluate", "dynamic", "stress", "comparisons"),
)
ALL_STAGES = (*STAGES, "baselines")
OF_A_MODEL = {"model": "pretrain", "tokens": "encode", "text": "normalize"}
INPUTS = {
    "normalize": {"documents": "download"},
    "tokenizer": {"base": "normalize"},
    "encode": {"text": "normalize", "tokenizer": "tokenizer"},
    "pretrain": {"tokens": "encode", "tokenizer": "tokenizer"},
    "evaluate": OF_A_MODEL,
    "dynamic": OF_A_MODEL,
    "stress": {**OF_A_MODEL, "base_text": "normalize"},
    "comparisons": {
        "baselines_base": "paid",
        "pretrained_on_base": "evaluate",
        "pretrained_dynamic_on_base": "dynamic",
    },
    "baselines": {"text": "normalize"},
}
OF_MODELS = ("pretrain", "evaluate", "dynamic", "stress")
FEW = 1024  # tokens that the model scores
WORDS, WORDS_IN_A_LINE = 40_000, 14


@dataclass(frozen=True)
class Measured:
    """What one stage took: peak and start in bytes, processor seconds, and seconds."""

    peak: int
    start: int
    seconds: float
    wall: float = 0.0


def lines(n_bytes: int) -> Iterator[str]:
    """Lines of made-up words, common ones more often (Zipf), a few with letters beyond ASCII."""
    draw = random.Random(1)
    words = [
        "".join(draw.choices("etaoinshrdlcumwé", k=draw.randrange(1, 10))) for _ in range(WORDS)
    ]
    shares = [1 / rank for rank in range(1, WORDS + 1)]
    made = 0
    while made < n_bytes:
        drawn = draw.choices(words, shares, k=1000 * WORDS_IN_A_LINE)
        for first in range(0, len(drawn), WORDS_IN_A_LINE):
            line = " ".join(drawn[first : first + WORDS_IN_A_LINE])
            made += len(line.encode()) + 2
            yield f"{line}.\n"


def write_text(folder: Path, shape: str, n_bytes: int) -> dict[str, Any]:
    """Write a text of a shape; gives the settings of its source and its split."""
    source: CsvSource | FilesSource
    if shape == "one text":
        source, by = FilesSource(path=str(folder / "text.txt")), "position"
        with (folder / "text.txt").open("w", encoding="utf-8") as file:
            file.writelines(lines(n_bytes))
    else:
        source, by = CsvSource(path=str(folder / "text.csv"), text="text"), "group"
        with (folder / "text.csv").open("w", encoding="utf-8") as file:
            file.write("text\n")
            file.writelines(lines(n_bytes))
    return {
        "download": {"source": canonical(source)},
        "normalize": {
            "normalize": canonical(NormalizeSettings()),
            "split": canonical(SplitSettings(by=by)),  # type: ignore[arg-type]
        },
        "tokenizer": {"tokenizer": canonical(TokenizerSettings(kind="bpe", vocab_size=2048))},
        "pretrain": {
            "seed": 1,
            "model": canonical(ModelSettings(n_layer=1, n_head=1, n_embd=16, context_length=64)),
            "training": canonical(
                TrainingSettings(max_steps=4, warmup_steps=0, batch_size=2, val_tokens=FEW)
            ),
        },
        "evaluate": {"evaluate": canonical(EvaluateSettings(memorization_tokens=64))},
        "dynamic": {"dynamic": canonical(DynamicSettings(rates=(0.1,), pulls=(0.01,)))},
        "baselines": {"baselines": canonical(BaselineSettings(ppmd_orders=(6,)))},
    }


def score_few() -> None:
    """Make models score few tokens, and repeat their scores for all others."""
    import numpy as np

    from variorum.evaluation import bits, dynamic

    score, learn = bits.score, dynamic.dynamic_nats

    def scored(model: Any, tokens: Any, **others: Any) -> bits.Scores:
        few = score(model, tokens[:FEW], **others)
        every = (few.nats, few.ranks, few.confidences)
        return bits.Scores(*(np.resize(each, len(tokens)) for each in every))

    bits.score = scored
    dynamic.dynamic_nats = lambda model, tokens, **others: np.resize(
        learn(model, tokens[:FEW], **others), len(tokens)
    )


def read_for_stress(task: Task) -> None:
    """Read the texts of stress tests, and write none."""
    from variorum.stages.stress import subject_of

    subject_of(task.inputs, StressSettings(), "cpu")


def pay_alike(folder: Path) -> None:
    """Give baselines the costs of the model, as `baselines` would leave them."""
    (folder / "paid").mkdir()
    drawn = json.loads((folder / "evaluate/metrics.json").read_text(encoding="utf-8"))["interval"]
    (folder / "paid/metrics.json").write_text(json.dumps(drawn), encoding="utf-8")
    with (
        (folder / "evaluate/parts.csv").open(encoding="utf-8", newline="") as costs,
        (folder / "paid/parts.csv").open("w", encoding="utf-8", newline="") as paid,
    ):
        paid.write(costs.readline().replace("static", "ngram_static"))
        shutil.copyfileobj(costs, paid)


def function_of(stage: str) -> Callable[[Task], None]:
    """What a stage runs."""
    module = import_module(f"variorum.stages.{stage}")
    if stage in OF_MODELS:
        import_module("variorum.training.outputs")
        score_few()
    function: Callable[[Task], None] = read_for_stress if stage == "stress" else module.run
    return function


def work(folder: Path, stage: str, settings: dict[str, Any], answer: Connection) -> None:
    """Run a stage in this process, on the folders of those before it."""
    inputs = {}
    for role, before in INPUTS.get(stage, {}).items():
        files = {file.name: {} for file in (folder / before).iterdir()}
        inputs[role] = Result(Ref(before, "0" * 12), folder / before, {"files": files})
    output = folder / stage
    output.mkdir()
    progress = Progress(stage, folder / f"{stage}.log")
    spec = Spec(stage, settings, {}, "")
    task = Task(spec, inputs, folder, output, folder, Machine(), progress)
    run = function_of(stage)
    start, began, clock = peak_memory(), time.process_time(), time.monotonic()
    run(task)
    spent = time.process_time() - began
    answer.send(Measured(peak_memory(), start, spent, time.monotonic() - clock))


def measured(folder: Path, stage: str, settings: dict[str, Any]) -> Measured:
    """Run a stage in a process of its own."""
    if stage == "comparisons":
        pay_alike(folder)
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=partial(work, folder, stage, settings, send))
    process.start()
    send.close()
    try:
        found: Measured = receive.recv()
    except EOFError:
        raise SystemExit(f"{stage} ended without a result") from None
    process.join()
    return found


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    shape: str
    size: float
    stage: str
    found: Measured

    @property
    def line(self) -> str:
        """The line as it is printed, sizes in MB."""
        found = self.found
        grown = (found.peak - found.start) / (self.size * MB)
        sizes = f"{self.shape:10}{self.size:6g}  {self.stage:12}{found.peak / MB:9.0f}"
        return f"{sizes}{found.start / MB:8.0f}{grown:8.1f}{found.seconds:8.1f}"


def rows_of(shape: str, size: float, stages: list[str]) -> Iterator[Row]:
    """Measure stages, and those that they stand on, with a text of so many MB."""
    with TemporaryDirectory(prefix="variorum-memory-") as name:
        settings = write_text(Path(name), shape, int(size * MB))
        for stage in ALL_STAGES:
            if needed(stage, stages):
                yield Row(shape, size, stage, measured(Path(name), stage, settings.get(stage, {})))


def kept(path: Path) -> list[Row]:
    """The rows of a file, or none."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Row(
                shape,
                float(size),
                stage,
                Measured(int(peak), int(start), float(seconds), float(wall)),
            )
            for shape, size, stage, peak, start, seconds, wall in csv.reader(file)
        ]


def draw(rows: list[Row], path: Path) -> None:
    """Draw the peaks by the size of the text, a panel for each shape."""
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        1, len(SHAPES), sharey=True, figsize=(9, 4.5), layout="constrained"
    )
    for panel, shape in zip(panels, SHAPES, strict=True):
        for number, stage in enumerate(ALL_STAGES):
            points = sorted(
                (row.size, row.found.peak / MB)
                for row in rows
                if (row.shape, row.stage) == (shape, stage)
            )
            panel.loglog(
                [size for size, _ in points],
                [mb for _, mb in points],
                color=pyplot.get_cmap("tab10")(number),
                marker="o",
                label=stage,
            )
        sizes = sorted({row.size for row in rows})
        panel.set_xticks(sizes, [f"{size:g}" for size in sizes])
        panel.minorticks_off()
        panel.yaxis.set_major_formatter("{x:,.0f}")
        panel.set(title=shape, xlabel="MB of text")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("peak memory in MB")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.savefig(path)


def main() -> None:
    """Print the table, and draw it if asked to."""
    parser = argparse.ArgumentParser(description="Memory of each stage by the size of the text.")
    parser.add_argument("sizes", nargs="*", type=float, default=[10, 100], help="in MB")
    parser.add_argument("--shapes", nargs="*", default=SHAPES, choices=SHAPES)
    parser.add_argument("--stages", nargs="*", default=STAGES, choices=ALL_STAGES)
    parser.add_argument("--table", type=Path, help="a CSV file that lines are added to")
    parser.add_argument("--figure", type=Path, help="an SVG or PNG file, of all of the table")
    asked = parser.parse_args()
    rows = kept(asked.table) if asked.table else []
    print(f"{'shape':10}{'MB':>6}  {'stage':12}{'peak MB':>9}{'start':>8}{'a byte':>8}{'CPU s':>8}")
    for shape, size in product(asked.shapes, asked.sizes):
        for row in rows_of(shape, size, asked.stages):
            rows.append(row)
            print(row.line, flush=True)
            if asked.table:
                with asked.table.open("a", encoding="utf-8", newline="") as file:
                    csv.writer(file).writerow([shape, size, row.stage, *astuple(row.found)])
    if asked.figure:
        draw(rows, asked.figure)


def needed(stage: str, asked: list[str]) -> bool:
    """Whether a stage was asked for, or another one that stands on it."""
    above = (other for other, inputs in INPUTS.items() if stage in inputs.values())
    return stage in asked or any(needed(other, asked) for other in above)


if __name__ == "__main__":
    main()
