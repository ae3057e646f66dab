"""report: the page of one experiment, and the numbers that DVC compares."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from variorum.config import STAGES, ReportStage
from variorum.evaluation.legible import token_label
from variorum.evaluation.verdicts import Case
from variorum.report import page
from variorum.report.adoption import Adoption
from variorum.report.page import FINETUNED, PRETRAINED, Corpus, ReportData, Role
from variorum.store import Result
from variorum.task import Task
from variorum.tokenizer.files import load as load_tokenizer

MODELS = {"pretrained": PRETRAINED, "finetuned": FINETUNED}
SIDES: tuple[Role, ...] = ("base", "domain")
LONGEST_TOKENS = 12

FIGURES = {
    "curves": ("Training", "Loss on train and val, and the learning rate, by step."),
    "embeddings": (
        "Token embeddings",
        "The commonest tokens on the first two principal components of the embedding.",
    ),
    "attention": (
        "Attention",
        "Which earlier tokens (columns) each token (rows) looks at, in every layer and head.",
    ),
    "frequencies": ("Token frequencies", "How often the k-th most common token occurs in train."),
}


def run(task: Task) -> None:
    """Write `report.html`, `metrics.json` and `curves.csv`."""
    data = _report(task)
    (task.output / "report.html").write_text(page.render(data), encoding="utf-8")
    content = json.dumps(_metrics(task), indent=2, sort_keys=True) + "\n"
    (task.output / "metrics.json").write_text(content, encoding="utf-8")
    curves = pd.concat(
        pd.read_csv(result.file("metrics.csv")).assign(training=name)
        for name, result in _models(task).items()
    )
    curves.to_csv(task.output / "curves.csv", index=False, lineterminator="\n")


def _models(task: Task) -> dict[str, Result]:
    return {name: task.inputs[name] for name in MODELS if name in task.inputs}


def _sides(task: Task) -> list[Role]:
    return [side for side in SIDES if f"text_{side}" in task.inputs]


def _report(task: Task) -> ReportData:
    settings = task.settings(ReportStage)
    corpora = {side: _corpus(task, side, settings.notes.get(side)) for side in _sides(task)}
    return ReportData(
        title=settings.title,
        experiment=settings.experiment,
        key=task.spec.ref.key,
        command=settings.command,
        base=corpora["base"],
        domain=corpora.get("domain"),
        scores=tuple(
            _score(task.inputs[f"{name}_on_{side}"], MODELS[name], side)
            for side in _sides(task)
            for name in _models(task)
        ),
        tokenizer=_tokenizer(task),
        trainings=tuple(_training(MODELS[name], each) for name, each in _models(task).items()),
        samples=_samples(task),
        stress=tuple(
            page.Stress(
                MODELS[name],
                result.ref.key,
                tuple(Case(**case) for case in result.json("cases.json")),
            )
            for name, result in ((n, task.inputs[f"stress_{n}"]) for n in _models(task))
        ),
        figures=tuple(
            page.PageFigure(
                name,
                title,
                caption,
                task.inputs["figures"].file(f"{name}.svg").read_text(encoding="utf-8"),
                task.inputs["figures"].ref.key,
            )
            for name, (title, caption) in FIGURES.items()
        ),
        provenance=_provenance(task),
        settings=_settings(task),
    )


def _corpus(task: Task, side: Role, note: str | None) -> Corpus:
    text = task.inputs[f"text_{side}"]
    baselines = task.inputs[f"pretrained_on_{side}"].json("metrics.json")["baselines"]
    return Corpus(
        role=side,
        title=_title(task.inputs[f"source_{side}"].spec.settings["source"]),
        funnel=tuple(
            page.FunnelStep(
                step["name"],
                step["documents_kept"],
                step["dropped"],
                step["bytes_kept"],
                step["bytes_in"] - step["bytes_kept"],
            )
            for step in text.json("funnel.json")["steps"]
        ),
        splits=tuple(
            page.Split(name, part["documents"], part["bytes"], part["overlap"])
            for name, part in text.json("splits.json").items()
        ),
        bz2=baselines["bz2"],
        xz=baselines["xz"],
        note=note,
    )


def _title(source: Mapping[str, Any]) -> str:
    """What a source is called in a sentence."""
    match source["kind"]:
        case "python-package":
            return f"{source['part']} of {source['package']} {source['version']}"
        case "url":
            return str(source["url"])
        case _:
            return str(source["path"])


def _score(evaluation: Result, model: str, side: Role) -> page.Score:
    metrics = evaluation.json("metrics.json")
    return page.Score(
        model=model,
        corpus=side,
        bits_per_byte=metrics["bits_per_byte"],
        nats_per_token=metrics["nats_per_token"],
        perplexity=metrics["perplexity"],
        tokens=metrics["tokens"],
        n_bytes=metrics["bytes"],
        key=evaluation.ref.key,
    )


def _tokenizer(task: Task) -> page.TokenizerFacts:
    result = task.inputs["tokenizer"]
    tokenizer = load_tokenizer(result.file("tokenizer.json"))
    spellings = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
    longest = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
    scores = {
        side: task.inputs[f"pretrained_on_{side}"].json("metrics.json") for side in _sides(task)
    }
    return page.TokenizerFacts(
        kind=result.spec.settings["tokenizer"]["kind"],
        vocab_size=tokenizer.vocab_size,
        bytes_per_token={side: m["bytes"] / m["tokens"] for side, m in scores.items()},
        key=result.ref.key,
        longest=tuple(token_label(spelling) for spelling in longest[:LONGEST_TOKENS]),
    )


def _training(name: str, result: Result) -> page.Training:
    metrics = result.json("metrics.json")
    return page.Training(
        name=name,
        parameters=metrics["parameters"],
        steps=metrics["steps"],
        tokens=metrics["tokens_seen"],
        kept_step=metrics["chosen_step"],
        val_loss=metrics["chosen_val_loss"],
        key=result.ref.key,
    )


def _samples(task: Task) -> tuple[page.Sample, ...]:
    written = [task.inputs[f"stress_{name}"].json("samples.json") for name in _models(task)]
    before, after = written[0], written[1] if len(written) > 1 else None
    return tuple(
        page.Sample(first["prompt"], first["text"], after[index]["text"] if after else None)
        for index, first in enumerate(before)
    )


def _provenance(task: Task) -> tuple[page.Provenance, ...]:
    """Every result that the page stands on, in the order of the flow."""
    results = {result.ref: result for result in task.inputs.values()}
    order = list(STAGES)
    return tuple(
        page.Provenance(
            ref.stage,
            ref.key,
            tuple((name, str(needed)) for name, needed in sorted(result.spec.upstream.items())),
            Adoption.of(result.adopted),
        )
        for ref, result in sorted(
            results.items(), key=lambda item: (order.index(item[0].stage), item[0].key)
        )
    )


def _settings(task: Task) -> dict[str, Any]:
    """What was set, by stage; the two corpora and trainings under names of their own."""
    names = {
        "source_base": "base source",
        "source_domain": "domain source",
        "text_base": "base corpus",
        "text_domain": "domain corpus",
        "tokenizer": "tokenizer",
        "pretrained": "pretraining",
        "finetuned": "fine-tuning",
        "pretrained_on_base": "evaluation",
        "stress_pretrained": "stress",
    }
    return {
        shown: dict(task.inputs[name].spec.settings)
        for name, shown in names.items()
        if name in task.inputs
    }


def _metrics(task: Task) -> dict[str, Any]:
    """The numbers of `dvc metrics`: bits per byte of each model on each corpus."""
    return {
        name: {
            side: task.inputs[f"{name}_on_{side}"].json("metrics.json")["bits_per_byte"]
            for side in _sides(task)
        }
        for name in _models(task)
    }
