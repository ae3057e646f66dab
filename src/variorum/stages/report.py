"""Write the page of one experiment, and the numbers that DVC compares."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from variorum.config.types import Settings, Text, setting
from variorum.corpus import documents
from variorum.evaluation.metrics import HEADLINE, KINDS
from variorum.identity.spec import Ref
from variorum.report import content
from variorum.report.adopted import MARK
from variorum.report.content import Corpus, ReportData
from variorum.report.costs import cost
from variorum.report.figures.captions import FIGURES, PROVENANCE
from variorum.report.naming import MODELS, SIDES, Role
from variorum.report.token_words import words
from variorum.report.traced import (
    Traced,
    derived,
    in_manifest,
    numbers_csv,
    of_file,
    of_manifest,
)
from variorum.stages.stage import Input, Rerun, Stage, Storage
from variorum.stages.task import Task
from variorum.store.result import Result
from variorum.tokenizer.derivation import count_words
from variorum.tokenizer.serialization import load as load_tokenizer

IMPORTED = "imported"
PLOTTED = ("step", "train_loss", "val_loss", "learning_rate", "training")  # of `curves.csv`

PROVENANCE_FILE = "provenance.svg"
TEXTS = ("source", "text", "tokens", "tokenizer")  # inputs, or how their names begin
OF_TRAININGS = ("curves", "dynamics")  # not there for a model that was imported


class ReportStage(Settings):
    """Name the page and the command that makes it."""

    title: Text
    experiment: Text
    command: Text
    notes: dict[Text, Text] = setting({})
    last_test: Text | None = setting(None, "How often it was opened.", omit_when=None)


STAGE = Stage(
    ReportStage,
    products=("report.html", "numbers.csv", "findings.md", "metrics.json", "curves.csv"),
    per=(),
    inputs={
        "figures": Input(("figures",)),
        "tokenizer": Input(("tokenizer", "imported")),
        "source_{corpus}": Input(("download",)),
        "text_{corpus}": Input(("normalize",)),
        "tokens_{corpus}": Input(("encode",)),
        "{model}": Input(("pretrain", "imported", "finetune")),
        "{model}_on_{corpus}": Input(("evaluate",)),
        "{model}_dynamic_on_{corpus}": Input(("dynamic",)),
        "baselines_{corpus}": Input(("baselines",)),
        "comparisons": Input(("comparisons",)),
        "stress_{model}": Input(("stress",)),
    },
    sections={"notes": "report.notes"},
    storage=Storage.BUNDLING,
    rerun=Rerun.PAGES,
)


def run(task: Task) -> None:
    """Write `report.html`, its numbers and findings, `metrics.json` and `curves.csv`.

    Also what the page shows and no other result holds: `words.json` and `provenance.svg`.
    """
    import pandas as pd

    from variorum.report import page
    from variorum.report.findings_text import findings_text

    (task.output / PROVENANCE_FILE).write_text(_provenance_graph(task), encoding="utf-8")
    for name, data in {"words": _words(task), "metrics": _metrics(task)}.items():
        text = json.dumps(data, indent=2, sort_keys=True) + "\n"
        (task.output / f"{name}.json").write_text(text, encoding="utf-8")
    report = _report(task)
    rendered = page.render(report)
    (task.output / "report.html").write_text(rendered, encoding="utf-8")
    (task.output / "numbers.csv").write_text(numbers_csv(rendered), encoding="utf-8")
    (task.output / "findings.md").write_text(findings_text(report), encoding="utf-8")
    task.run["costs"] = [cost(name, result) for name, result in _trained(task).items()]
    logs = [
        pd.read_csv(result.file("metrics.csv")).assign(training=name)
        for name, result in _trained(task).items()
    ]
    curves = pd.concat(logs) if logs else pd.DataFrame(columns=list(PLOTTED))
    curves.to_csv(task.output / "curves.csv", index=False, lineterminator="\n")


def _models(task: Task) -> dict[str, Result]:
    return {name: task.inputs[name] for name in MODELS if name in task.inputs}


def _trained(task: Task) -> dict[str, Result]:
    """Return the models that were trained here."""
    return {n: result for n, result in _models(task).items() if result.ref.stage != IMPORTED}


def _sides(task: Task) -> list[Role]:
    return [side for side in SIDES if f"text_{side}" in task.inputs]


def _key(result: Result) -> Traced:
    return of_manifest(result, "key")


def _spec(result: Result) -> Traced:
    """Return the settings that it was made with."""
    return of_manifest(result, "spec")["settings"]


def _report(task: Task) -> ReportData:
    ref = task.spec.ref
    own = in_manifest(ref, {"key": ref.key, "spec": task.spec.as_data()})
    settings = own["spec"]["settings"]
    corpora = {side: _corpus(task, side, settings) for side in _sides(task)}
    model = list(_models(task).values())[-1]
    return ReportData(
        title=settings["title"],
        experiment=settings["experiment"],
        key=own["key"],
        command=settings["command"],
        base=corpora["base"],
        domain=corpora.get("domain"),
        scores=tuple(_score(task, name, side) for side in _sides(task) for name in _models(task)),
        tokenizer=_tokenizer(task),
        architecture=of_file(model, "config.json"),
        parameters=of_file(model, "metrics.json")["parameters"],
        trainings=tuple(
            content.TrainingRecord(MODELS[name], of_file(each, "metrics.json"), _key(each))
            for name, each in _trained(task).items()
        ),
        imported=_imported(task.inputs["pretrained"]),
        samples=_samples(task),
        stress=tuple(
            content.Stress(
                MODELS[name],
                of_file(result, "cases.json"),
                of_file(result, "behaviour.json"),
                _spec(result)["stress"],
                _key(result),
                _name(task, f"stress_{name}"),
            )
            for name, result in ((n, task.inputs[f"stress_{n}"]) for n in _models(task))
        ),
        figures=(*_figures(task), _provenance_figure(task)),
        provenance=_provenance(task),
        settings=_settings(task),
        last_test=settings["last_test"] if settings.value.get("last_test") else None,
    )


def _figures(task: Task) -> tuple[content.PageFigure, ...]:
    result = task.inputs["figures"]
    return tuple(
        content.PageFigure(name, title, caption, _svg(result, f"{name}.svg"), _key(result))
        for name, (title, caption) in FIGURES.items()
        if name not in OF_TRAININGS or _trained(task)
    )


def _provenance_figure(task: Task) -> content.PageFigure:
    """Return the graph, which is a file of the report itself."""
    ref = task.spec.ref
    svg = (task.output / PROVENANCE_FILE).read_text(encoding="utf-8")
    traced = Traced(svg, (f"{ref}/{PROVENANCE_FILE}",))
    return content.PageFigure(
        "provenance", *PROVENANCE, traced, in_manifest(ref, {"key": ref.key})["key"]
    )


def _svg(result: Result, name: str) -> Traced:
    """Return a figure, which is traced as a whole file."""
    return Traced(result.file(name).read_text(encoding="utf-8"), (f"{result.ref}/{name}",))


def _corpus(task: Task, side: Role, settings: Traced) -> Corpus:
    text, download = task.inputs[f"text_{side}"], task.inputs[f"source_{side}"]
    facts = of_file(download, "facts.json")
    notes = settings["notes"]
    baselines = of_file(task.inputs[f"baselines_{side}"], "metrics.json")
    return Corpus(
        role=side,
        title=derived("title", _spec(download)["source"]),
        steps=(*facts["steps"], *of_file(text, "funnel.json")["steps"]),
        splits=of_file(text, "splits.json"),
        standings=tuple(_standings(task, side)),
        note=notes[side] if side in notes.value else None,
        facts=tuple(facts["notes"]),
        floor=facts["entropy"] if facts["entropy"].value is not None else None,
        train_read=baselines["train"] if "train" in baselines.value else None,
    )


def _standings(task: Task, side: Role) -> Iterator[content.Standing]:
    """Yield models, then baselines, with each kind of score."""
    compared = of_file(task.inputs["comparisons"], "comparisons.json")[side]
    baselines = task.inputs[f"baselines_{side}"]
    for kind in KINDS:
        pairs = compared[kind]["pairs"]
        for model in _models(task):
            name = f"{model}_{'dynamic_' * (kind == 'adaptive')}on_{side}"
            result = task.inputs[name]
            metrics = of_file(result, "metrics.json")
            yield content.Standing(
                model,
                derived("model", _name(task, name)),
                kind,
                metrics["bits_per_byte"],
                metrics["interval"],
                _differences(pairs, model),
                _key(result),
            )
        for baseline, found in of_file(baselines, "metrics.json")[kind].items():
            yield content.Standing(
                baseline.value,
                derived("baseline", baseline, *([found["order"]] if found["order"].value else [])),
                kind,
                found["bits_per_byte"],
                found["interval"],
                _differences(pairs, baseline.value),
                _key(baselines),
            )


def _differences(pairs: Traced, other: str) -> dict[str, Traced]:
    """Return by model its difference to one other, where the two compare."""
    return {MODELS[m]: pairs[m][other] for m in pairs.value if other in pairs.value[m]}


def _score(task: Task, model: str, side: Role) -> content.Score:
    name = f"{model}_on_{side}"
    evaluation = task.inputs[name]
    metrics = of_file(evaluation, "metrics.json")
    return content.Score(MODELS[model], side, metrics, _key(evaluation), _name(task, name))


def _name(task: Task, name: str) -> Traced:
    """Return this report's name for one of its inputs."""
    ref = task.spec.ref
    return in_manifest(ref, {"spec": task.spec.as_data()})["spec"]["upstream"][name].name


def _words(task: Task) -> dict[str, Any]:
    """Count what the tokenizer did to the words of the base corpus's train part."""
    tokenizer = load_tokenizer(task.inputs["tokenizer"].file("tokenizer.json"))
    train = documents.read(task.inputs["text_base"].file("train.jsonl"))
    return words(tokenizer, count_words(document.text for document in train))


def _tokenizer(task: Task) -> content.TokenizerFacts:
    result = task.inputs["tokenizer"]
    model = of_file(result, "tokenizer.json")["model"]
    scores = {
        side: of_file(task.inputs[f"pretrained_on_{side}"], "metrics.json") for side in _sides(task)
    }
    found = json.loads((task.output / "words.json").read_text(encoding="utf-8"))
    return content.TokenizerFacts(
        kind=model["variorum_kind"],
        vocab_size=derived("length", model["vocab"]),
        bytes_per_token={
            side: derived("ratio", metrics["bytes"], metrics["tokens"])
            for side, metrics in scores.items()
        },
        words=Traced(found, (f"{task.spec.ref}/words.json#",)),
        key=_key(result),
    )


def _imported(result: Result) -> content.Imported | None:
    if result.ref.stage != IMPORTED:
        return None
    chosen = _spec(result)["imported"]
    return content.Imported(chosen["path"], chosen["sha256"], _key(result))


def _samples(task: Task) -> tuple[content.Sample, ...]:
    written = [of_file(task.inputs[f"stress_{name}"], "samples.json") for name in _models(task)]
    before, after = written[0], written[1] if len(written) > 1 else None
    return tuple(
        content.Sample(first["prompt"], first["text"], after[index]["text"] if after else None)
        for index, first in enumerate(before)
    )


def _ranks(results: Mapping[Ref, Result]) -> dict[str, int]:
    """Return by stage how many steps of the flow lie before it at most."""

    def rank(ref: Ref) -> int:
        needed = results[ref].spec.upstream.values() if ref in results else ()
        return max(map(rank, needed), default=-1) + 1

    ranks: dict[str, int] = {}
    for ref in results:
        ranks[ref.stage] = max(rank(ref), ranks.get(ref.stage, 0))
    return ranks


def _provenance(task: Task) -> tuple[content.Provenance, ...]:
    """Return every result that the page stands on, in the order of the flow."""
    results = {result.ref: result for result in task.inputs.values()}
    rank = _ranks(results)
    return tuple(
        content.Provenance(
            ref.stage,
            _key(result),
            of_manifest(result, "spec")["upstream"],
            of_manifest(result, "adopted") if result.adopted is not None else None,
        )
        for ref, result in sorted(
            results.items(), key=lambda item: (rank[item[0].stage], item[0].stage, item[0].key)
        )
    )


def _provenance_graph(task: Task) -> str:
    """Draw the results and this report as a graph."""
    from variorum.report.figures.provenance import DrawnNode, provenance_graph

    own = task.spec.ref
    labels = {result.ref: _label(name) for name, result in task.inputs.items()}
    models_last = sorted(task.inputs, key=lambda name: name in MODELS)  # one may be a tokenizer too
    kinds = {task.inputs[name].ref: _kind(name) for name in models_last}
    results = {result.ref: result for result in task.inputs.values()}
    rank = _ranks(results)
    nodes, edges = [], []
    for ref in sorted(results, key=lambda r: (rank[r.stage], r.stage, labels[r], r.key)):
        key = ref.key + MARK * bool(results[ref].adopted)
        nodes.append(DrawnNode(str(ref), ref.stage, labels[ref], key, kinds[ref]))
        edges += [(str(needed), str(ref)) for needed in results[ref].spec.upstream.values()]
        edges.append((str(ref), str(own)))
    return provenance_graph([*nodes, DrawnNode(str(own), own.stage, "", own.key)], edges)


def _kind(name: str) -> str:
    """Return what an input of this stage is in the graph: text, or a model."""
    return MODELS.get(name, "text" if name.partition("_")[0] in TEXTS else "")


def _label(name: str) -> str:
    """Return what an input is of, where its stage does not say it all."""
    kind, _, side = name.partition("_")
    if kind in MODELS and side:
        return f"{MODELS[kind]} {side.replace('_', ' ')}"
    return MODELS.get(side, side)


def _settings(task: Task) -> dict[str, Traced]:
    """Return the settings by stage; corpora and trainings have names of their own."""
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
    return {shown: _spec(task.inputs[name]) for name, shown in names.items() if name in task.inputs}


def _metrics(task: Task) -> dict[str, Any]:
    """Return the numbers of `dvc metrics`: the headline of each model on each corpus."""
    return {
        name: {
            side: HEADLINE.of(task.inputs[f"{name}_on_{side}"].json("metrics.json"))
            for side in _sides(task)
        }
        for name in _models(task)
    }
