"""Encode one corpus as flat token files, document after document."""

from collections.abc import Iterator
from pathlib import Path

from variorum.config.types import Settings
from variorum.corpus import documents
from variorum.stages.stage import Input, Stage
from variorum.stages.task import Task
from variorum.tokenizer import serialization
from variorum.tokenizer.base import Tokenizer

PARTS = ("train", "val", "test")


class EncodeStage(Settings):
    """Turn one corpus into token files; there is nothing to choose."""


STAGE = Stage(
    EncodeStage,
    products=("train.bin", "val.bin", "test.bin"),
    per=("corpus",),
    inputs={"text": Input(("normalize",)), "tokenizer": Input(("tokenizer", "imported"))},
)


def run(task: Task) -> None:
    """Write `train.bin`, `val.bin`, `test.bin` and an index of each."""
    from variorum.corpus import tokenfile

    tokenizer = serialization.load(task.inputs["tokenizer"].file("tokenizer.json"))
    for part in PARTS:
        encoded = _encoded(task.inputs["text"].file(f"{part}.jsonl"), tokenizer)
        dtype = tokenfile.dtype_for(tokenizer.vocab_size)
        summary = tokenfile.write(task.output, part, encoded, dtype, eot=tokenizer.eot)
        task.progress.say(f"{part}: {summary.tokens:,} tokens for {summary.n_bytes:,} bytes")


def _encoded(path: Path, tokenizer: Tokenizer) -> Iterator[tuple[str, list[int], int]]:
    for document in documents.read(path):
        yield document.id, tokenizer.encode(document.text), len(document.text.encode())
