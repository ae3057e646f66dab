"""Draw trainings, calibration, attention and corpora as SVG."""

from typing import TYPE_CHECKING, Any

from variorum.config.types import Settings
from variorum.corpus import documents
from variorum.evaluation.printable import token_label
from variorum.report.naming import MODELS, SIDES
from variorum.stages.stage import Input, Rerun, Stage, Storage
from variorum.stages.task import Task
from variorum.store.result import Result
from variorum.tokenizer.base import Tokenizer
from variorum.tokenizer.serialization import load as load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from variorum.report.figures.corpora import Cleaning

TRAININGS = {"pretrained": "pretraining", "finetuned": "fine-tuning"}
MOST_LOOKED_AT = 24  # tokens of the text that the attention is shown for


class FiguresStage(Settings):
    """Draw every figure; there is nothing to choose."""


STAGE = Stage(
    FiguresStage,
    products=(
        "funnel.svg",
        "model.svg",
        "calibration.svg",
        "context.svg",
        "embeddings.svg",
        "attention.svg",
        "frequencies.svg",
    ),
    per=(),
    inputs={
        "source_{corpus}": Input(("download",)),
        "text_{corpus}": Input(("normalize",)),
        "tokens_{corpus}": Input(("encode",)),
        "{model}": Input(("pretrain", "imported", "finetune")),
        "{model}_on_{corpus}": Input(("evaluate",)),
    },
    storage=Storage.BUNDLED,
    rerun=Rerun.PAGES,
)


def run(task: Task) -> None:
    """Write one SVG for each figure; of trainings only where a model was trained here."""
    import numpy as np
    import torch

    from variorum.corpus.tokenfile import TokenFile
    from variorum.evaluation.frequencies import token_counts
    from variorum.model import checkpoint
    from variorum.model.attention_maps import attention_maps
    from variorum.report.figures import architecture, attention_weights, corpora, scores, tokens

    models = {name: task.inputs[name] for name in MODELS if name in task.inputs}
    last = list(models.values())[-1]
    model, tokenizer = checkpoint.load(last.folder), load_tokenizer(last.file("tokenizer.json"))
    labels = [token_label(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)]
    counts = {
        name.removeprefix("tokens_"): token_counts(
            TokenFile.open(encoded.folder, "train").tokens, tokenizer.vocab_size
        )
        for name, encoded in task.inputs.items()
        if name.startswith("tokens_")
    }
    read = _beginning(task, tokenizer, model.settings.context_length)
    drawn = {
        "funnel": corpora.corpus_funnel(_cleanings(task)),
        "model": architecture.model_diagram(model),
        **_of_trainings(models),
        "calibration": scores.calibration(_evaluated(task, "reliability")),
        "context": scores.loss_by_context(_evaluated(task, "by_position")),
        "embeddings": tokens.embedding_pca(
            {MODELS[name]: _embedding(result) for name, result in models.items()},
            labels,
            np.sum(list(counts.values()), axis=0),
        ),
        "attention": attention_weights.attention_heatmap(
            attention_maps(model, torch.tensor(read)).numpy(), [labels[token] for token in read]
        ),
        "frequencies": tokens.token_frequencies(counts),
    }
    for name, svg in drawn.items():
        (task.output / f"{name}.svg").write_text(svg, encoding="utf-8")
        task.progress.say(f"{name}.svg, {len(svg):,} bytes")


def _of_trainings(models: dict[str, Result]) -> dict[str, str]:
    """Draw the figures of what was trained here, from the logs."""
    import pandas as pd

    from variorum.report.figures import training

    trained = {
        TRAININGS[name]: result for name, result in models.items() if result.ref.stage != "imported"
    }
    if not trained:
        return {}
    logs, diagnostics = (
        {name: pd.read_csv(result.file(file)) for name, result in trained.items()}
        for file in ("metrics.csv", "diagnostics.csv")
    )
    return {
        "curves": training.training_curves(logs),
        "dynamics": training.training_dynamics(diagnostics),
    }


def _evaluated(task: Task, measure: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return a measure of every evaluation, by the test text and the model."""
    return {
        f"{side} test text": {
            shown: task.inputs[f"{name}_on_{side}"].json("metrics.json")[measure]
            for name, shown in MODELS.items()
            if name in task.inputs
        }
        for side in SIDES
        if f"text_{side}" in task.inputs
    }


def _embedding(model: Result) -> "npt.NDArray[np.floating]":
    """Return the token embeddings (V, D) of a stored model."""
    from variorum.model import checkpoint

    weights: npt.NDArray[np.floating] = checkpoint.load(model.folder).wte.weight.detach().numpy()
    return weights


def _cleanings(task: Task) -> "dict[str, Cleaning]":
    """Return what became of each corpus, from its source to its split."""
    from variorum.report.figures import corpora

    found = {}
    for side in SIDES:
        if f"text_{side}" in task.inputs:
            text, source = task.inputs[f"text_{side}"], task.inputs[f"source_{side}"]
            steps = [*source.json("facts.json")["steps"], *text.json("funnel.json")["steps"]]
            cleaning = corpora.Cleaning(steps, text.json("splits.json"))
            found[f"{side} corpus"] = cleaning
    return found


def _beginning(task: Task, tokenizer: Tokenizer, context_length: int) -> list[int]:
    """Return the first tokens of the last corpus's val part."""
    text = [result for name, result in task.inputs.items() if name.startswith("text_")][-1]
    most = min(MOST_LOOKED_AT, context_length)
    tokens: list[int] = []
    for document in documents.read(text.file("val.jsonl")):
        tokens += tokenizer.encode(document.text)
        if len(tokens) >= most:
            break
    return tokens[:most]
