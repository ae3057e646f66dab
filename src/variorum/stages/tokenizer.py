"""tokenizer: the tokens, learned from the train part of the base corpus, or of both."""

from collections.abc import Iterator

from variorum.base import components
from variorum.corpus import documents
from variorum.stages.stage_settings import TokenizerStage
from variorum.stages.task import Task


def run(task: Task) -> None:
    """Write `tokenizer.json`."""
    settings = task.settings(TokenizerStage).tokenizer
    kind = components.load("tokenizer/kinds", settings.kind)
    tokenizer = kind.train(_texts(task), settings)
    tokenizer.save(task.output / "tokenizer.json")
    task.progress.say(f"{tokenizer.vocab_size:,} tokens")


def _texts(task: Task) -> Iterator[str]:
    for text in task.inputs.values():
        yield from (document.text for document in documents.read(text.file("train.jsonl")))
