"""evaluate: what one model needs for one corpus's test part. Nothing else opens test."""

import json

from variorum.config import EvaluateStage
from variorum.corpus import documents
from variorum.corpus.tokenfile import TokenFile
from variorum.evaluation.baselines import compressors
from variorum.evaluation.bits import score, summary
from variorum.model import files
from variorum.task import Task
from variorum.tokenizer.files import load as load_tokenizer


def run(task: Task) -> None:
    """Write `metrics.json`: bits per byte, perplexity, and what bz2 and xz need beside it."""
    settings = task.settings(EvaluateStage).evaluate
    folder = task.inputs["model"].folder
    model, tokenizer = files.load(folder), load_tokenizer(folder / "tokenizer.json")
    test = TokenFile.open(task.inputs["tokens"].folder, "test")
    stride = settings.stride or max(1, model.settings.context_length // 2)
    nats = score(model, test.tokens, eot=tokenizer.eot, stride=stride)
    text = task.inputs["text"]
    parts = {
        part: [document.text for document in documents.read(text.file(f"{part}.jsonl"))]
        for part in ("train", "test")
    }
    result = {
        **summary(nats, n_bytes=int(test.n_bytes.sum()), n_characters=sum(map(len, parts["test"]))),
        "stride": stride,
        "context_length": model.settings.context_length,
        "baselines": compressors(parts["train"], parts["test"]),
    }
    content = json.dumps(result, indent=2, sort_keys=True) + "\n"
    (task.output / "metrics.json").write_text(content, encoding="utf-8")
    task.progress.say(f"{result['bits_per_byte']:.4f} bits per byte")
