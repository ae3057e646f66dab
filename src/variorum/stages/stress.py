"""Run the stress tests of one model: cases on code and behaviour, and samples."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from variorum.config.evaluation_settings import StressSettings
from variorum.config.types import Settings
from variorum.corpus import documents
from variorum.stages.stage import Input, Rerun, Resources, Stage, Storage
from variorum.stages.task import Task
from variorum.store.result import Result
from variorum.tokenizer.serialization import load as load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from variorum.evaluation.stress.subject import StressedModel


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

    settings = task.settings(StressStage).stress
    subject = subject_of(task.inputs, settings, task.use_device())
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


def subject_of(
    inputs: Mapping[str, Result], settings: StressSettings, device: str
) -> "StressedModel":
    """Return the model of these inputs, with what it is stressed with."""
    from variorum.corpus.tokenfile import TokenFile
    from variorum.evaluation.frequencies import token_counts
    from variorum.evaluation.stress.behaviour.words import all_words
    from variorum.evaluation.stress.subject import StressedModel, StressTexts
    from variorum.model import checkpoint

    folder = inputs["model"].folder
    model = checkpoint.load(folder).to(device)
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    val, train = (TokenFile.open(inputs["tokens"].folder, part) for part in ("val", "train"))
    texts = StressTexts(
        held_out=val.tokens,
        groups=_groups(inputs["text"], val.n_tokens),
        train_counts=token_counts(train.tokens, tokenizer.vocab_size),
        train_words=all_words(_train_texts(inputs)),
    )
    return StressedModel(model, tokenizer, settings, texts)


def _groups(text: Result, n_tokens: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Return the group of each token (N,), given the tokens of each document (D,)."""
    import numpy as np

    names = [document.group for document in documents.read(text.file("val.jsonl"))]
    # `np.unique` would give every name the room of the longest one
    places = {name: place for place, name in enumerate(sorted(set(names)))}
    numbers = np.array([places[name] for name in names], dtype=np.int64)
    groups: NDArray[np.int64] = np.repeat(numbers, n_tokens)
    return groups


def _train_texts(inputs: Mapping[str, Result]) -> Iterator[str]:
    """Yield the texts of every train part that the model has read."""
    read = {result.ref: result for result in (inputs["text"], inputs["base_text"])}
    for result in read.values():
        for document in documents.read(result.file("train.jsonl")):
            yield document.text
