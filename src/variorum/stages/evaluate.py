"""Score one model on one corpus's test part."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from variorum.config.evaluation_settings import EvaluateSettings
from variorum.config.types import Settings
from variorum.corpus import documents
from variorum.stages.stage import Input, Rerun, Resources, Stage, Storage
from variorum.stages.task import Task
from variorum.tokenizer.serialization import load as load_tokenizer


class EvaluateStage(Settings):
    """Score one model on one corpus's test part."""

    evaluate: EvaluateSettings


STAGE = Stage(
    EvaluateStage,
    products=("metrics.json", "parts.csv"),
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
    much the model memorized. Also `parts.csv`, the bits that each part of the text costs.
    """
    from variorum.corpus.tokenfile import TokenFile
    from variorum.evaluation import intervals, parts, score_details
    from variorum.evaluation.bits import score, summary
    from variorum.evaluation.memorization import memorization
    from variorum.model import checkpoint

    settings = task.settings(EvaluateStage).evaluate
    folder = task.inputs["model"].folder
    model = checkpoint.load(folder).to(task.use_device())
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    test = TokenFile.open(task.inputs["tokens"].folder, "test")
    test_file, train_file = (task.inputs["text"].file(f"{n}.jsonl") for n in ("test", "train"))
    test_texts = _Texts(test_file)
    context_length = model.settings.context_length
    stride = settings.stride or max(1, context_length // 2)
    scores = score(model, test.tokens, eot=tokenizer.eot, stride=stride)
    block_nats = score(model, test.tokens, eot=tokenizer.eot, stride=context_length).nats
    bins = score_details.reliability(scores)
    cut = parts.parts_of(documents.read(test_file))
    bits = cut.bits_of(tokenizer, test.tokens, scores.nats)
    result: dict[str, Any] = {
        **summary(
            scores.nats, n_bytes=int(test.n_bytes.sum()), n_characters=sum(map(len, test_texts))
        ),
        "interval": intervals.as_data(bits, cut.n_bytes, cut.drawn),
        "accuracy": {
            "top_1": score_details.accuracy(scores, 1),
            "top_5": score_details.accuracy(scores, 5),
        },
        "calibration_error": score_details.calibration_error(bins),
        "reliability": [asdict(each) for each in bins],
        "by_position": score_details.by_position(block_nats, context_length),
        "memorization": asdict(
            memorization(
                model,
                tokenizer,
                settings.memorization_tokens,
                train=_Texts(train_file),
                test=test_texts,
            )
        ),
        "stride": stride,
        "context_length": context_length,
    }
    content = json.dumps(result, indent=2, sort_keys=True) + "\n"
    (task.output / "metrics.json").write_text(content, encoding="utf-8")
    parts.write(task.output / "parts.csv", cut, {"static": bits})
    task.progress.say(f"{result['bits_per_byte']:.4f} bits per byte")


@dataclass(frozen=True)
class _Texts:
    """Read the texts of a file anew for each loop, so that none are held."""

    path: Path

    def __iter__(self) -> Iterator[str]:
        return (document.text for document in documents.read(self.path))
