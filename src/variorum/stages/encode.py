"""Encode one corpus as flat token files, document after document."""

from functools import partial
from typing import TYPE_CHECKING

from variorum.base.parallel import in_order
from variorum.config.types import Settings
from variorum.corpus.spans import Span, spans
from variorum.stages.stage import Input, Resources, Stage
from variorum.stages.task import Task
from variorum.tokenizer import serialization

if TYPE_CHECKING:
    from variorum.corpus.tokenfile import Encoded
    from variorum.tokenizer.bulk import Encoder

PARTS = ("train", "val", "test")


class EncodeStage(Settings):
    """Turn one corpus into token files; there is nothing to choose."""


STAGE = Stage(
    EncodeStage,
    products=("train.bin", "val.bin", "test.bin"),
    per=("corpus",),
    inputs={"text": Input(("normalize",)), "tokenizer": Input(("tokenizer", "imported"))},
    resources=Resources(is_parallel=True),
)


def run(task: Task) -> None:
    """Write `train.bin`, `val.bin`, `test.bin` and an index of each."""
    from variorum.corpus import tokenfile
    from variorum.tokenizer import bulk

    tokenizer = serialization.load(task.inputs["tokenizer"].file("tokenizer.json"))
    encode = partial(
        encoded, bulk.encoder(tokenizer), str(tokenfile.dtype_for(tokenizer.vocab_size))
    )
    for part in PARTS:
        found = spans(task.inputs["text"].file(f"{part}.jsonl"))
        parts = in_order(encode, found, task.machine.processes)
        summary = tokenfile.write(task.output, part, parts)
        task.progress.say(f"{part}: {summary.tokens:,} tokens for {summary.n_bytes:,} bytes")


def encoded(encode: "Encoder", dtype: str, span: Span) -> "Encoded":
    """Return the tokens of a span, in the type of that name."""
    import numpy as np

    from variorum.corpus.tokenfile import Encoded

    documents = span.read()
    tokens = encode(document.text for document in documents)
    eot = tokens[-1]
    sizes = np.diff(np.flatnonzero(tokens == eot), prepend=-1)
    if not span.is_last:
        tokens, sizes[-1] = tokens[:-1], sizes[-1] - 1
    rows = [
        (document.id, size, len(document.text.encode()))
        for document, size in zip(documents, sizes.tolist(), strict=True)
    ]
    return Encoded(tokens.astype(dtype), rows, span.is_last)
