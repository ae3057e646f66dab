"""figures: training curves, embeddings, attention and token frequencies, as SVG."""

import numpy as np
import pandas as pd
import torch

from variorum.corpus import documents
from variorum.corpus.tokenfile import TokenFile
from variorum.evaluation.frequencies import token_counts
from variorum.evaluation.legible import token_label
from variorum.model import files
from variorum.model.attention_maps import attention_maps
from variorum.report import figures
from variorum.task import Task
from variorum.tokenizer.files import load as load_tokenizer

MODELS = {"pretrained": "pretraining", "finetuned": "fine-tuning"}
MOST_LOOKED_AT = 24  # tokens of the text that the attention is shown for


def run(task: Task) -> None:
    """Write `curves.svg` (of what was trained), `embeddings`, `attention` and `frequencies`."""
    models = {name: task.inputs[name] for name in MODELS if name in task.inputs}
    last = list(models.values())[-1]
    model, tokenizer = files.load(last.folder), load_tokenizer(last.file("tokenizer.json"))
    labels = [token_label(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)]
    counts = {
        name.removeprefix("tokens_"): token_counts(
            TokenFile.open(tokens.folder, "train").tokens, tokenizer.vocab_size
        )
        for name, tokens in task.inputs.items()
        if name.startswith("tokens_")
    }
    read = _beginning(task, tokenizer.encode, model.settings.context_length)
    curves = {
        MODELS[name]: pd.read_csv(result.file("metrics.csv"))
        for name, result in models.items()
        if result.ref.stage != "imported"
    }
    drawn = {"curves": figures.training_curves(curves)} if curves else {}
    drawn |= {
        "embeddings": figures.embedding_pca(
            model.wte.weight.detach().numpy(), labels, np.sum(list(counts.values()), axis=0)
        ),
        "attention": figures.attention_heatmap(
            attention_maps(model, torch.tensor(read)).numpy(), [labels[token] for token in read]
        ),
        "frequencies": figures.token_frequencies(counts),
    }
    for name, svg in drawn.items():
        (task.output / f"{name}.svg").write_text(svg, encoding="utf-8")
        task.progress.say(f"{name}.svg, {len(svg):,} bytes")


def _beginning(task: Task, encode: object, context_length: int) -> list[int]:
    """The first tokens of the last corpus's val part."""
    text = [result for name, result in task.inputs.items() if name.startswith("text_")][-1]
    first = next(documents.read(text.file("val.jsonl")))
    tokens: list[int] = encode(first.text)  # type: ignore[operator]
    return tokens[: min(MOST_LOOKED_AT, context_length)]
