"""Run the stress tests of one model: cases on code and behaviour, and samples."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from variorum.config.evaluation_settings import StressSettings
from variorum.config.types import Settings
from variorum.corpus import documents
from variorum.stages.stage import Input, Rerun, Resources, Stage, Storage
from variorum.stages.task import Task
from variorum.tokenizer.serialization import load as load_tokenizer

if TYPE_CHECKING:
    from variorum.evaluation.stress.subject import StressTexts
    from variorum.tokenizer.base import Tokenizer


class StressStage(Settings):
    """Ask one model to write."""

    stress: StressSettings


STAGE = Stage(
    StressStage,
    products=("cases.json", "behaviour.json", "samples.json"),
    per=("model",),
    inputs={
        "model": Input(("pretrain", "imported", "finetune")),
        "tokens": Input(("encode",)),
        "text": Input(("normalize",)),
        "base_text": Input(("normalize",), corpus="base"),
    },
    storage=Storage.BUNDLED,
    rerun=Rerun.CASES,
    resources=Resources(mem_mb=2000, minutes=30),
)


def run(task: Task) -> None:
    """Write `cases.json`, on the code, `behaviour.json`, on the model, and `samples.json`."""
    from variorum.evaluation.stress import catalogue
    from variorum.evaluation.stress.subject import StressedModel
    from variorum.model import checkpoint

    settings = task.settings(StressStage).stress
    folder = task.inputs["model"].folder
    model = checkpoint.load(folder).to(task.use_device())
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    subject = StressedModel(model, tokenizer, settings, _texts(task, tokenizer))
    cases, behaviour = catalogue.implementation(subject), catalogue.behaviour(subject)
    written = {
        "cases": [asdict(case) for case in cases],
        "behaviour": [asdict(case) for case in behaviour],
        "samples": catalogue.samples(subject),
    }
    for name, content in written.items():
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        (task.output / f"{name}.json").write_text(text, encoding="utf-8")
    passed = [sum(case.passed for case in own) for own in (cases, behaviour)]
    task.progress.say(
        f"{passed[0]} of {len(cases)} cases on the implementation passed, and {passed[1]} of "
        f"{len(behaviour)} on behaviour"
    )


def _texts(task: Task, tokenizer: "Tokenizer") -> "StressTexts":
    """Return the last corpus's val part with its groups, and what training has shown."""
    import numpy as np

    from variorum.corpus.tokenfile import TokenFile
    from variorum.evaluation.frequencies import token_counts
    from variorum.evaluation.stress.behaviour.words import all_words
    from variorum.evaluation.stress.subject import StressTexts

    val, train = (TokenFile.open(task.inputs["tokens"].folder, part) for part in ("val", "train"))
    held_out = documents.read(task.inputs["text"].file("val.jsonl"))
    _, numbers = np.unique([document.group for document in held_out], return_inverse=True)
    return StressTexts(
        held_out=val.tokens,
        groups=np.repeat(numbers, val.n_tokens),
        train_counts=token_counts(train.tokens, tokenizer.vocab_size),
        train_words=all_words(_train_texts(task)),
    )


def _train_texts(task: Task) -> Iterator[str]:
    """Yield the texts of every train part that the model has read."""
    for result in {
        each.ref: each for each in (task.inputs["text"], task.inputs["base_text"])
    }.values():
        for document in documents.read(result.file("train.jsonl")):
            yield document.text
