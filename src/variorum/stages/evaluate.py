"""Score one model on one corpus's test part. Nothing else opens test."""

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from variorum.config.evaluation_settings import EvaluateSettings
from variorum.config.types import Settings
from variorum.corpus import documents
from variorum.corpus.documents import Document
from variorum.stages.stage import Input, Rerun, Resources, Stage, Storage
from variorum.stages.task import Task
from variorum.tokenizer.base import Tokenizer
from variorum.tokenizer.serialization import load as load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EvaluateStage(Settings):
    """Score one model on one corpus's test part."""

    evaluate: EvaluateSettings


STAGE = Stage(
    EvaluateStage,
    products=("metrics.json", "groups.csv"),
    per=("model", "corpus"),
    inputs={
        "model": Input(("pretrain", "imported", "finetune")),
        "text": Input(("normalize",)),
        "tokens": Input(("encode",)),
    },
    storage=Storage.BUNDLED,
    rerun=Rerun.SCORES,
    resources=Resources(mem_mb=2000, minutes=30),
)


def run(task: Task) -> None:
    """Write `metrics.json`.

    Bits per byte with its interval, perplexity, accuracy, calibration, loss by position, and how
    much the model memorized. Also `groups.csv`, the bits that each group of documents costs.
    """
    from variorum.corpus.tokenfile import TokenFile
    from variorum.evaluation import intervals, score_details
    from variorum.evaluation.bits import score, summary
    from variorum.evaluation.memorization import memorization
    from variorum.model import checkpoint

    settings = task.settings(EvaluateStage).evaluate
    folder = task.inputs["model"].folder
    model = checkpoint.load(folder).to(task.use_device())
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    test = TokenFile.open(task.inputs["tokens"].folder, "test")
    documents_of = {part: _documents(task, part) for part in ("train", "test")}
    train_texts, test_texts = ([d.text for d in found] for found in documents_of.values())
    context_length = model.settings.context_length
    stride = settings.stride or max(1, context_length // 2)
    scores = score(model, test.tokens, eot=tokenizer.eot, stride=stride)
    blocks = score(model, test.tokens, eot=tokenizer.eot, stride=context_length)
    bins = score_details.reliability(scores)
    groups = _groups(documents_of["test"], test.n_tokens)
    interval = intervals.of_tokens(scores.nats, _bytes_of(tokenizer, test.tokens), groups)
    result: dict[str, Any] = {
        **summary(
            scores.nats, n_bytes=int(test.n_bytes.sum()), n_characters=sum(map(len, test_texts))
        ),
        "interval": asdict(interval) if interval else None,
        "accuracy": {
            "top_1": score_details.accuracy(scores, 1),
            "top_5": score_details.accuracy(scores, 5),
        },
        "calibration_error": score_details.calibration_error(bins),
        "reliability": [asdict(each) for each in bins],
        "by_position": score_details.by_position(blocks.nats, context_length),
        "memorization": asdict(
            memorization(
                model,
                tokenizer,
                settings.memorization_tokens,
                train=train_texts,
                test=test_texts,
            )
        ),
        "stride": stride,
        "context_length": context_length,
    }
    content = json.dumps(result, indent=2, sort_keys=True) + "\n"
    (task.output / "metrics.json").write_text(content, encoding="utf-8")
    _write_groups(task, documents_of["test"], scores.nats, test.n_tokens)
    task.progress.say(f"{result['bits_per_byte']:.4f} bits per byte")


def _write_groups(
    task: Task, found: list[Document], nats: "NDArray[np.float64]", n_tokens: "NDArray[np.int64]"
) -> None:
    """Write each group's bits, given each token's nats (N,) and each document's tokens (D,)."""
    import numpy as np

    from variorum.evaluation.groups import write_groups

    starts = np.concatenate([[0], np.cumsum(n_tokens)[:-1]])
    bits = np.add.reduceat(nats, starts) / math.log(2)
    write_groups(task.output / "groups.csv", found, {"model_bits": bits})


def _documents(task: Task, part: str) -> list[Document]:
    return list(documents.read(task.inputs["text"].file(f"{part}.jsonl")))


def _groups(found: list[Document], n_tokens: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Return each token's group (N,), given the number of tokens of each document (D,)."""
    import numpy as np

    _, numbers = np.unique([document.group for document in found], return_inverse=True)
    groups: NDArray[np.int64] = np.repeat(numbers.astype(np.int64), n_tokens)
    return groups


def _bytes_of(tokenizer: Tokenizer, tokens: "NDArray[Any]") -> "NDArray[np.int64]":
    """Return the bytes of each token (N,)."""
    import numpy as np

    lengths = [len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size)]
    n_bytes: NDArray[np.int64] = np.array(lengths, dtype=np.int64)[tokens]
    return n_bytes
