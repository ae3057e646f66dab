"""table: the runs of an ablation compared, as Markdown, CSV and a figure."""

from variorum.config import TableStage
from variorum.report import tables
from variorum.report.adoption import Adoption
from variorum.report.figures.ablation import ablation_intervals
from variorum.report.tables import Run
from variorum.task import Task


def run(task: Task) -> None:
    """Write `table.md`, `table.csv` and `intervals.svg`."""
    settings = task.settings(TableStage)
    runs = [_run(task, row.variant, row.seed) for row in settings.rows]
    table = tables.ablation_table(
        runs,
        title=settings.title,
        question=settings.question,
        metric=f"test bits per byte on {settings.corpus}",
        variants=list(dict.fromkeys(row.variant for row in settings.rows)),
        baseline=settings.baseline,
        command=settings.command,
    )
    written = {
        "table.md": tables.markdown(table),
        "table.csv": tables.csv_text(table),
        "intervals.svg": ablation_intervals(table),
    }
    for name, text in written.items():
        (task.output / name).write_text(text, encoding="utf-8")
    for row in table.rows:
        task.progress.say(f"{row.variant}: {row.value.mean:.4f}, {row.verdict}")


def _run(task: Task, variant: str, seed: int) -> Run:
    evaluation, model = task.inputs[f"{variant}/{seed}"], task.inputs[f"{variant}/{seed}/model"]
    return Run(
        variant=variant,
        seed=seed,
        value=evaluation.json("metrics.json")["bits_per_byte"],
        key=str(model.ref),
        parameters=model.json("metrics.json")["parameters"],
        adopted=tuple(
            f"{result.ref}: {adoption}"
            for result in (model, evaluation)
            if (adoption := Adoption.of(result.adopted))
        ),
    )
