"""Score one model on one corpus's test part while it learns from it."""

import json
from dataclasses import asdict

from variorum.config.evaluation_settings import DynamicSettings
from variorum.config.types import Settings
from variorum.corpus import documents
from variorum.stages.stage import Input, Rerun, Resources, Stage, Storage
from variorum.stages.task import Task
from variorum.tokenizer.serialization import load as load_tokenizer


class DynamicStage(Settings):
    """Score one model on one corpus's test part while it learns."""

    dynamic: DynamicSettings


STAGE = Stage(
    DynamicStage,
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
    """Write `metrics.json`, and `parts.csv`, the bits that each part of the text costs.

    Bits per byte with its interval, and the adaptation that val chose.
    """
    from variorum.corpus.tokenfile import TokenFile
    from variorum.evaluation import intervals, parts
    from variorum.evaluation.dynamic import best_adaptation, dynamic_nats
    from variorum.model import checkpoint

    settings = task.settings(DynamicStage).dynamic
    folder, tokens = task.inputs["model"].folder, task.inputs["tokens"].folder
    model = checkpoint.load(folder).to(task.use_device())
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    val = TokenFile.open(tokens, "val").tokens
    adaptation = best_adaptation(model, val, settings, eot=tokenizer.eot)
    task.progress.say(f"learns at rate {adaptation.rate:g}, drawn back by {adaptation.pull:g}")
    test = TokenFile.open(tokens, "test").tokens
    nats = dynamic_nats(model, test, eot=tokenizer.eot, adaptation=adaptation)
    cut = parts.parts_of(documents.read(task.inputs["text"].file("test.jsonl")))
    bits = cut.bits_of(tokenizer, test, nats)
    result = {
        "bits_per_byte": float(bits.sum()) / int(cut.n_bytes.sum()),
        "interval": intervals.as_data(bits, cut.n_bytes, cut.drawn),
        **asdict(adaptation),
    }
    content = json.dumps(result, indent=2, sort_keys=True) + "\n"
    (task.output / "metrics.json").write_text(content, encoding="utf-8")
    parts.write(task.output / "parts.csv", cut, {"adaptive": bits})
    task.progress.say(f"{result['bits_per_byte']:.4f} bits per byte")
