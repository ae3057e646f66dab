"""report: the page of one experiment, and the numbers that DVC compares."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from variorum.config import STAGES, ReportStage
from variorum.evaluation.legible import token_label
from variorum.evaluation.verdicts import Case
from variorum.report import page
from variorum.report.adoption import MARK, Adoption
from variorum.report.figures.captions import FIGURES, PROVENANCE
from variorum.report.figures.provenance import Node, provenance_graph
from variorum.report.page import FINETUNED, PRETRAINED, Corpus, ReportData, Role
from variorum.store import Result
from variorum.task import Task
from variorum.tokenizer.files import load as load_tokenizer

MODELS = {"pretrained": PRETRAINED, "finetuned": FINETUNED}
SIDES: tuple[Role, ...] = ("base", "domain")
LONGEST_TOKENS = 12
IMPORTED = "imported"
PLOTTED = ("step", "train_loss", "val_loss", "learning_rate", "training")  # of `curves.csv`

PROVENANCE_FILE = "provenance.svg"
OF_TRAININGS = ("curves", "dynamics")  # not there for a model that was imported


def run(task: Task) -> None:
    """Write `report.html`, the `provenance.svg` in it, `metrics.json` and `curves.csv`."""
    (task.output / PROVENANCE_FILE).write_text(_provenance_graph(task), encoding="utf-8")
    data = _report(task)
    (task.output / "report.html").write_text(page.render(data), encoding="utf-8")
    content = json.dumps(_metrics(task), indent=2, sort_keys=True) + "\n"
    (task.output / "metrics.json").write_text(content, encoding="utf-8")
    logs = [
        pd.read_csv(result.file("metrics.csv")).assign(training=name)
        for name, result in _trained(task).items()
    ]
    curves = pd.concat(logs) if logs else pd.DataFrame(columns=list(PLOTTED))
    curves.to_csv(task.output / "curves.csv", index=False, lineterminator="\n")


def _models(task: Task) -> dict[str, Result]:
    return {name: task.inputs[name] for name in MODELS if name in task.inputs}


def _trained(task: Task) -> dict[str, Result]:
    """The models that were trained here."""
    return {n: result for n, result in _models(task).items() if result.ref.stage != IMPORTED}


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
        trainings=tuple(_training(MODELS[name], each) for name, each in _trained(task).items()),
        imported=_imported(task.inputs["pretrained"]),
        samples=_samples(task),
        stress=tuple(
            page.Stress(
                MODELS[name],
                result.ref.key,
                tuple(Case(**case) for case in result.json("cases.json")),
            )
            for name, result in ((n, task.inputs[f"stress_{n}"]) for n in _models(task))
        ),
        figures=(*_figures(task), _provenance_figure(task)),
        provenance=_provenance(task),
        settings=_settings(task),
    )


def _figures(task: Task) -> Iterator[page.PageFigure]:
    figures = task.inputs["figures"]
    for name, (title, caption) in FIGURES.items():
        if name not in OF_TRAININGS or _trained(task):
            svg = figures.file(f"{name}.svg").read_text(encoding="utf-8")
            yield page.PageFigure(name, title, caption, svg, figures.ref.key)


def _provenance_figure(task: Task) -> page.PageFigure:
    svg = (task.output / PROVENANCE_FILE).read_text(encoding="utf-8")
    return page.PageFigure("provenance", *PROVENANCE, svg, task.spec.ref.key)


def _corpus(task: Task, side: Role, note: str | None) -> Corpus:
    text, download = task.inputs[f"text_{side}"], task.inputs[f"source_{side}"]
    facts = download.json("facts.json")
    metrics = task.inputs[f"pretrained_on_{side}"].json("metrics.json")
    return Corpus(
        role=side,
        title=_title(download.spec.settings["source"]),
        funnel=tuple(
            page.FunnelStep(
                step["name"],
                step["documents_kept"],
                step["dropped"],
                step["bytes_kept"],
                step["bytes_in"] - step["bytes_kept"],
                step["explanation"],
                tuple(page.Dropped(**example) for example in step["examples"]),
            )
            for step in [*facts["steps"], *text.json("funnel.json")["steps"]]
        ),
        splits=tuple(
            page.Split(name, part["documents"], part["bytes"], part["overlap"])
            for name, part in text.json("splits.json").items()
        ),
        baselines={
            "bz2": metrics["baselines"]["bz2"],
            "xz": metrics["baselines"]["xz"],
            f"{metrics['ngram_order']}-gram": metrics["baselines"]["ngram"],
        },
        note=note,
        facts=tuple(facts["notes"]),
        floor=facts["entropy"],
    )


def _title(source: Mapping[str, Any]) -> str:
    """What a source is called in a sentence."""
    match source["kind"]:
        case "python-package":
            return f"{source['part']} of {source['package']} {source['version']}"
        case "url":
            return str(source["url"])
        case "arxiv":
            return f"abstracts that arXiv finds for “{source['query']}”"
        case "genius":
            return f"lyrics of {', '.join(source['artists'])}"
        case "synthetic":
            return (
                f"a made-up language of {source['alphabet_size']} letters, "
                f"{source['order']} of which decide the next"
            )
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
        low=metrics["interval"]["low"],
        high=metrics["interval"]["high"],
        top_1=metrics["accuracy"]["top_1"],
        top_5=metrics["accuracy"]["top_5"],
        calibration_error=metrics["calibration_error"],
        memorized=metrics["memorization"]["written_share"],
        memorized_test=metrics["memorization"]["test_share"],
        drawn=metrics["interval"]["drawn"],
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
        kind=result.json("tokenizer.json")["model"]["variorum_kind"],
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


def _imported(result: Result) -> page.Imported | None:
    if result.ref.stage != IMPORTED:
        return None
    chosen = result.spec.settings["imported"]
    parameters = result.json("metrics.json")["parameters"]
    return page.Imported(chosen["path"], chosen["sha256"], parameters, result.ref.key)


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


def _provenance_graph(task: Task) -> str:
    """The results and this report as a graph."""
    own = task.spec.ref
    labels = {result.ref: _label(name) for name, result in task.inputs.items()}
    results = {result.ref: result for result in task.inputs.values()}
    order = list(STAGES)
    nodes, edges = [], []
    for ref in sorted(results, key=lambda ref: (order.index(ref.stage), labels[ref], ref.key)):
        key = ref.key + MARK * bool(results[ref].adopted)
        nodes.append(Node(str(ref), ref.stage, labels[ref], key))
        edges += [(str(needed), str(ref)) for needed in results[ref].spec.upstream.values()]
        edges.append((str(ref), str(own)))
    return provenance_graph([*nodes, Node(str(own), own.stage, "", own.key)], edges)


def _label(name: str) -> str:
    """What an input of this stage is of, where its stage does not say it all."""
    kind, _, side = name.partition("_")
    if kind in MODELS and side:
        return f"{MODELS[kind]} {side.replace('_', ' ')}"
    return MODELS.get(side, side)


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
    if task.inputs["pretrained"].ref.stage == IMPORTED:
        del names["tokenizer"]
        names["pretrained"] = "imported model"
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
