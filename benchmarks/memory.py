"""The memory of each stage that reads text or groups, by the size of the text.

    python benchmarks/memory.py                             # 10 and 100 MB
    python benchmarks/memory.py 10 100 500 --figure memory.svg
    python benchmarks/memory.py 10 --stages normalize baselines

Texts are made up, of two shapes: one single text, split by position, and rows of a table, each a
document and a group of its own. Each stage runs in a process of its own, by its own code. `groups`
is what `evaluate` does with the groups of the test part. Prints the peak of its memory beside that
of a process that has imported the stage, and its processor time. `baselines` takes long and is
measured only if it is named.
"""

import argparse
import multiprocessing
import random
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from variorum.base.machine import Machine
from variorum.base.progress import Progress
from variorum.config.canonical import canonical
from variorum.config.corpus_settings import NormalizeSettings, SplitSettings
from variorum.config.evaluation_settings import BaselineSettings
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.corpus.sources.csv import CsvSource
from variorum.corpus.sources.files import FilesSource
from variorum.identity.spec import Ref, Spec
from variorum.stages.task import Task
from variorum.store.result import Result

MB = 1_000_000
SHAPES = ("one text", "rows")
STAGES = ("download", "normalize", "tokenizer", "encode", "groups")
ALL_STAGES = (*STAGES, "baselines")
INPUTS = {
    "normalize": {"documents": "download"},
    "tokenizer": {"base": "normalize"},
    "encode": {"text": "normalize", "tokenizer": "tokenizer"},
    "groups": {"text": "normalize"},
    "baselines": {"text": "normalize"},
}
WORDS, WORDS_IN_A_LINE = 40_000, 14


@dataclass(frozen=True)
class Measured:
    """What one stage took: peak and start in bytes, and processor seconds."""

    peak: int
    start: int
    seconds: float


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
        "encode": {},
        "baselines": {"baselines": canonical(BaselineSettings())},
    }


def use_groups(task: Task) -> None:
    """Cut the test part into its groups, give each a cost, and take intervals."""
    import numpy as np

    from variorum.corpus import documents
    from variorum.evaluation import intervals, parts

    test = list(documents.read(task.inputs["text"].file("test.jsonl")))
    cut = parts.parts_of(test)
    bits = cut.sums(np.arange(len(cut.of_symbols)), np.ones(len(cut.of_symbols)))
    parts.write(task.output / "parts.csv", cut, {"static": bits})
    n_bytes, columns = parts.read(task.output / "parts.csv")
    intervals.as_data(columns["static"], n_bytes, cut.drawn)


def function_of(stage: str) -> Callable[[Task], None]:
    """What a stage runs."""
    if stage == "groups":
        return use_groups
    function: Callable[[Task], None] = import_module(f"variorum.stages.{stage}").run
    return function


def peak() -> int:
    """The peak of this process's memory so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


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
    start, began = peak(), time.process_time()
    run(task)
    answer.send(Measured(peak(), start, time.process_time() - began))


def measured(folder: Path, stage: str, settings: dict[str, Any]) -> Measured:
    """Run a stage in a process of its own."""
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


def draw(rows: list[tuple[str, int, str, Measured]], path: Path) -> None:
    """Draw the peaks by the size of the text, a panel for each shape."""
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(SHAPES), sharey=True, figsize=(9, 4))
    for panel, shape in zip(panels, SHAPES, strict=True):
        for stage in dict.fromkeys(row[2] for row in rows):
            points = [
                (size, m.peak / MB) for s, size, name, m in rows if (s, name) == (shape, stage)
            ]
            panel.loglog(*zip(*points, strict=True), marker="o", label=stage)
        panel.set(title=shape, xlabel="MB of text")
    panels[0].set_ylabel("peak memory in MB")
    panels[0].legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Print the table, and draw it if asked to."""
    parser = argparse.ArgumentParser(description="Memory of each stage by the size of the text.")
    parser.add_argument("sizes", nargs="*", type=int, default=[10, 100], help="in MB")
    parser.add_argument("--stages", nargs="*", default=STAGES, choices=ALL_STAGES)
    parser.add_argument("--figure", type=Path, help="an SVG or PNG file")
    asked = parser.parse_args()
    rows = []
    print(f"{'shape':10}{'MB':>6}  {'stage':12}{'peak MB':>9}{'start':>8}{'a byte':>8}{'CPU s':>8}")
    for shape in SHAPES:
        for size in asked.sizes:
            with TemporaryDirectory(prefix="variorum-memory-") as name:
                settings = write_text(Path(name), shape, size * MB)
                for stage in [each for each in ALL_STAGES if needed(each, asked.stages)]:
                    found = measured(Path(name), stage, settings.get(stage, {}))
                    rows.append((shape, size, stage, found))
                    grown = (found.peak - found.start) / (size * MB)
                    print(
                        f"{shape:10}{size:6}  {stage:12}{found.peak / MB:9.0f}"
                        f"{found.start / MB:8.0f}{grown:8.1f}{found.seconds:8.1f}",
                        flush=True,
                    )
    if asked.figure:
        draw(rows, asked.figure)


def needed(stage: str, asked: list[str]) -> bool:
    """Whether a stage was asked for, or another one that stands on it."""
    above = (other for other, inputs in INPUTS.items() if stage in inputs.values())
    return stage in asked or any(needed(other, asked) for other in above)


if __name__ == "__main__":
    main()
