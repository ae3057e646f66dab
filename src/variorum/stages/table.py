"""Compare the runs of an ablation, as Markdown, CSV, HTML and figures."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from variorum.base.errors import VariorumError
from variorum.config.canonical import restored
from variorum.config.types import Number, Real, Settings, Text, Truth, Whole, setting
from variorum.evaluation.metrics import METRICS
from variorum.model.config_file import read as read_model_config
from variorum.report.ablation import runs as run_files
from variorum.report.ablation import text_baselines
from variorum.report.ablation.runs import Run
from variorum.report.adopted import Adoption
from variorum.report.costs import cost
from variorum.stages.stage import Input, Rerun, Stage, Storage
from variorum.stages.task import Task
from variorum.store.result import MANIFEST, Result

if TYPE_CHECKING:
    import pandas as pd

    from variorum.report.ablation.question import Question
    from variorum.report.ablation.table import AblationTable

BASELINES_FILE = "baselines.csv"
"""What compressors and n-grams need for the texts; a table in another metric has none."""

CAPTIONS = {
    "intervals": "Runs (dots), means (diamonds) and their intervals; beside them the differences, "
    "and in grey the margin, if one was named.",
    "curves": "Bits per byte of what trainings read of val, by tokens seen: mean over the seeds, "
    "and its interval, which holds at each point by itself.",
    "tuning": "Mean loss on val by what was tried; circled: the lowest.",
    "trade-off": "Differences on both test texts, one across and one up, with their intervals.",
}
"""Of each figure that a table may have, in their order."""


class TableRun(Settings):
    """Hold one run of an ablation, whose results are the upstreams `<run>/<seed>/...`.

    value: of the setting that is tuned; None: the variant's own.
    """

    run: Text
    variant: Text
    seed: Whole
    value: Number | None


class TableStage(Settings):
    """Hold the question and the runs of an ablation's table.

    experiment, texts, changes, axes: what was compared, as `Question` has it. margin: how far
    intervals of variants that are alike may reach to each side of 0. looks: how often the runs may
    be looked at. tuned: the setting that was tuned. codes: of variants that another code runs, how
    that was named. edited: of variants that could have another code than the baseline, whether they
    have. pinned: of variants that were made before, the name that they are pinned under. uncounted:
    variants whose models other code defines, so the code that is here cannot count operations.
    """

    title: Text
    question: Text
    baseline: Text
    last_stage: Text
    corpora: tuple[Text, ...]
    metric: Text
    tuned: Text | None
    command: Text
    runs: tuple[TableRun, ...]
    experiment: Text = setting("", omit_when="")
    texts: dict[Text, Text] = setting({}, omit_when={})
    changes: dict[Text, dict[Text, Text]] = setting({}, omit_when={})
    axes: tuple[Text, ...] = setting((), omit_when=())
    margin: Real | None = setting(None, omit_when=None)
    looks: Literal["once", "any"] = setting("once", omit_when="once")
    codes: dict[Text, Text] = setting({}, omit_when={})
    edited: dict[Text, Truth] = setting({}, omit_when={})
    pinned: dict[Text, Text] = setting({}, omit_when={})
    uncounted: tuple[Text, ...] = setting((), omit_when=())

    @field_validator("metric")
    @classmethod
    def _is_known(cls, metric: str) -> str:
        if metric not in METRICS:
            raise PydanticCustomError("metric", "there is no such metric")
        return metric


STAGE = Stage(
    TableStage,
    products=("table.md", "table.csv", "table.html", "runs.csv"),
    inputs={
        "{run}/model": Input(("pretrain", "imported", "finetune")),
        "{run}/{corpus}": Input(("evaluate",)),
        "{variant}/tokens": Input(("encode",)),
        "{variant}/text/{corpus}": Input(("normalize",)),
        "baselines/{corpus}": Input(("baselines",)),
    },
    storage=Storage.BUNDLING,
    rerun=Rerun.PAGES,
)


def run(task: Task) -> None:
    """Write `table.md`, `table.csv`, `table.html`, `runs.csv`, `baselines.csv` and the figures.

    There are no baselines of other metrics than bits per byte. How long each run took, which may
    differ each time, is noted for `run.json`.

    Raises:
        VariorumError: if variants were judged on different texts.
    """
    from variorum.report.ablation import sentences
    from variorum.report.ablation.table import ablation_table

    settings = task.settings(TableStage)
    for corpus in settings.corpora:
        _refuse_other_texts(task, settings, corpus)
    runs = [_run(task, settings, each) for each in settings.runs]
    table = ablation_table(runs, question_of(settings), tuple(_baselines(task, settings)))
    drawn = dict(_figures(task, settings, table))
    for name, text in written_files(table, drawn).items():
        (task.output / name).write_text(text, encoding="utf-8")
    names = [f"{each.run}/{each.seed}" for each in settings.runs]
    task.run["costs"] = [cost(name, task.inputs[f"{name}/model"]) for name in names]
    for sentence in sentences.findings(table):
        task.progress.say(sentence)


def question_of(settings: TableStage) -> "Question":
    """Return what the table is to answer."""
    from variorum.report.ablation.question import Question

    return Question(
        title=settings.title,
        question=settings.question,
        metric=METRICS[settings.metric],
        variants=tuple(dict.fromkeys(each.variant for each in settings.runs)),
        baseline=settings.baseline,
        command=settings.command,
        experiment=settings.experiment,
        texts=settings.texts,
        changes=settings.changes,
        axes=settings.axes,
        margin=settings.margin,
        looks=settings.looks,
        tuned=settings.tuned,
        codes=settings.codes,
        edited=settings.edited,
        pinned=settings.pinned,
    )


def placed(folder: Path) -> "AblationTable":
    """Read the table in a folder, by its manifest, its runs and its baselines."""
    from variorum.report.ablation.table import ablation_table

    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    settings = restored(TableStage, manifest["spec"]["settings"])
    runs = run_files.read_csv((folder / "runs.csv").read_text(encoding="utf-8"))
    file = folder / BASELINES_FILE
    found = text_baselines.read_csv(file.read_text(encoding="utf-8")) if file.is_file() else ()
    return ablation_table(runs, question_of(settings), found)


def written_files(table: "AblationTable", drawn: Mapping[str, str]) -> dict[str, str]:
    """Return every file of a table by its name, given its figures as SVG."""
    from variorum.report.ablation import render
    from variorum.report.ablation.html import html

    figures = [(name, CAPTIONS[name], svg) for name, svg in drawn.items()]
    return {
        "table.md": render.markdown(table, [(f"{name}.svg", c) for name, c, _ in figures]),
        "table.csv": render.csv_text(table),
        "table.html": html(table, figures),
        "runs.csv": run_files.csv_text(table.runs),
        **({BASELINES_FILE: text_baselines.csv_text(table.baselines)} if table.baselines else {}),
        **{f"{name}.svg": svg for name, svg in drawn.items()},
    }


def _baselines(task: Task, settings: TableStage) -> Iterator[text_baselines.TextBaseline]:
    """Yield the baselines of each text that the runs were scored on."""
    for corpus in settings.corpora:
        if found := task.inputs.get(f"baselines/{corpus}"):
            content = found.json("metrics.json")
            yield from text_baselines.measured(corpus, content, str(found.ref))


def _refuse_other_texts(task: Task, settings: TableStage, corpus: str) -> None:
    """Raise `VariorumError` unless all variants were scored on the same bytes."""
    texts: dict[str, set[tuple[str, int]]] = {}
    for each in settings.runs:
        text = task.inputs[f"{each.variant}/text/{corpus}"].manifest["files"]["test.jsonl"]
        scored = task.inputs[f"{each.run}/{each.seed}/{corpus}"].json("metrics.json")["bytes"]
        texts.setdefault(each.variant, set()).add((text["sha256"], scored))
    others = [variant for variant, own in texts.items() if own != texts[settings.baseline]]
    if others:
        raise VariorumError(
            f"table: {', '.join(others)} have another {corpus} test text than "
            f"{settings.baseline}, so their numbers cannot be compared; let variants differ in "
            "nothing that decides the test part (source, normalize, split)"
        )


def _run(task: Task, settings: TableStage, each: TableRun) -> Run:
    name = f"{each.run}/{each.seed}"
    model = task.inputs[f"{name}/model"]
    evaluations = {corpus: task.inputs[f"{name}/{corpus}"] for corpus in settings.corpora}
    metrics = model.json("metrics.json")
    tokens = metrics.get("tokens_seen", 0)  # an imported model was trained elsewhere
    training = model.spec.settings.get("training", {})
    return Run(
        variant=each.variant,
        seed=each.seed,
        scores={
            corpus: METRICS[settings.metric].of(evaluation.json("metrics.json"))
            for corpus, evaluation in evaluations.items()
        },
        key=str(model.ref),
        parameters=metrics["parameters"],
        tokens=tokens,
        steps=metrics.get("steps", 0),
        batch_size=training.get("batch_size", 0),
        passes=passes(task.inputs[f"{each.variant}/tokens"], training, tokens),
        flops=None if each.variant in settings.uncounted else _flops(model, tokens),
        val_loss=metrics.get("chosen_val_loss"),
        tuned=each.value,
        evaluations={corpus: str(result.ref) for corpus, result in evaluations.items()},
        adopted=tuple(
            f"{result.ref}: {adoption}"
            for result in (model, *evaluations.values())
            if (adoption := Adoption.of(result.adopted))
        ),
    )


def passes(encoded: Result, training: Mapping[str, Any], tokens: int) -> float | None:
    """Return how often a training saw its own corpus; None if it was trained elsewhere."""
    from variorum.corpus.tokenfile import TokenFile

    if not training:
        return None
    rows: int = training["batch_size"]
    own: float = 1 - round(training.get("replay", 0) * rows) / rows
    return own * tokens / len(TokenFile.open(encoded.folder, "train").tokens)


def _flops(model: Result, tokens: int) -> int:
    """Return the operations of a training that saw so many tokens."""
    from variorum.model.description import describe_settings

    return describe_settings(*read_model_config(model.file("config.json"))).training_flops(tokens)


def _figures(task: Task, settings: TableStage, table: "AblationTable") -> Iterator[tuple[str, str]]:
    """Yield the name and the SVG of each figure."""
    from variorum.report.figures import variants as figures

    yield "intervals", figures.intervals(table)
    if curves := _curves(task, settings, table):
        yield "curves", figures.learning_curves(curves, settings.looks)
    if table.choices:
        yield "tuning", figures.tuning(table.choices, str(settings.tuned))
    if len(table.sections) == 2 and len(settings.corpora) == 2:
        yield "trade-off", figures.trade_off(table)


def _curves(
    task: Task, settings: TableStage, table: "AblationTable"
) -> "dict[str, list[pd.DataFrame]]":
    """Return validation losses of each variant's best runs that trained on the same text."""
    chosen = {choice.variant: choice.best for choice in table.choices}
    found: dict[str, list[pd.DataFrame]] = {}
    for each in settings.runs:
        model = task.inputs[f"{each.run}/{each.seed}/model"]
        if model.ref.stage == settings.last_stage and each.value == chosen.get(each.variant):
            encoded = task.inputs[f"{each.variant}/tokens"]
            found.setdefault(each.variant, []).append(_curve(model, encoded))
    return found


def _curve(model: Result, encoded: Result) -> "pd.DataFrame":
    """Return bits per byte of val by tokens seen, by the mean token length."""
    import pandas as pd

    from variorum.corpus.tokenfile import TokenFile

    val = TokenFile.open(encoded.folder, "val")
    metrics = model.json("metrics.json")
    log = pd.read_csv(model.file("metrics.csv"))[["step", "val_loss"]].dropna()
    tokens_a_byte = len(val.tokens) / int(val.n_bytes.sum())
    return pd.DataFrame(
        {
            "tokens": log["step"] * (metrics["tokens_seen"] // metrics["steps"]),
            "bits_per_byte": log["val_loss"] * tokens_a_byte / math.log(2),
        }
    )
