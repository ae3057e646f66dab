"""Learn the tokens from the train part of the base corpus, or of both."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, islice
from typing import Any

from variorum.base import components
from variorum.base.parallel import in_order
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.config.types import Settings
from variorum.corpus.spans import Span, spans
from variorum.stages.stage import Input, Resources, Stage
from variorum.stages.task import Task
from variorum.tokenizer.base import Tokenizer

TOGETHER = 16  # spans


class TokenizerStage(Settings):
    """Learn the tokens."""

    tokenizer: TokenizerSettings


STAGE = Stage(
    TokenizerStage,
    products=("tokenizer.json",),
    per=(),
    inputs={
        "base": Input(("normalize",), corpus="base"),
        "domain": Input(
            ("normalize",), corpus="domain", when=lambda chosen: chosen.tokenizer.train_on == "both"
        ),
    },
    label="{tokenizer.kind}",
    resources=Resources(is_parallel=True),
    when=lambda chosen: chosen.imported is None,
)


def run(task: Task) -> None:
    """Write `tokenizer.json`."""
    settings = task.settings(TokenizerStage).tokenizer
    kind = components.load("tokenizer/kinds", settings.kind)
    found = chain.from_iterable(spans(text.file("train.jsonl")) for text in task.inputs.values())
    tokenizer = learned(kind, settings, found, task.machine.processes)
    tokenizer.save(task.output / "tokenizer.json")
    task.progress.say(f"{tokenizer.vocab_size:,} tokens")


def learned(
    kind: Any, settings: TokenizerSettings, found: Iterator[Span], processes: int
) -> Tokenizer:
    """Return the tokenizer of a kind that the texts of some spans give."""
    counts = Counter[Any]()
    for counted in in_order(partial(_count, kind), _batches(found), processes):
        counts.update(counted)
    tokenizer: Tokenizer = kind.learn(counts, settings)
    return tokenizer


def _count(kind: Any, batch: list[Span]) -> Mapping[Any, int]:
    counts: Mapping[Any, int] = kind.count(
        document.text for span in batch for document in span.read()
    )
    return counts


def _batches(found: Iterator[Span]) -> Iterator[list[Span]]:
    """Yield spans that are counted together, as counts are much smaller for longer texts."""
    while batch := list(islice(found, TOGETHER)):
        yield batch
