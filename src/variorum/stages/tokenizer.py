"""Learn the tokens from the train part of the base corpus, or of both."""

from collections.abc import Iterator

from variorum.base import components
from variorum.config.tokenizer_settings import TokenizerSettings
from variorum.config.types import Settings
from variorum.corpus import documents
from variorum.stages.stage import Input, Stage
from variorum.stages.task import Task


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
    when=lambda chosen: chosen.imported is None,
)


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
