"""Train a pretrained model on the domain corpus, at a lower rate."""

from variorum.config.training_settings import FinetuneSettings
from variorum.config.types import Settings, Whole
from variorum.stages.stage import Input, Rerun, Resources, Role, Stage
from variorum.stages.task import Task


class FinetuneStage(Settings):
    """Train on from a pretrained result."""

    seed: Whole
    training: FinetuneSettings


STAGE = Stage(
    FinetuneStage,
    products=("model.safetensors", "config.json", "tokenizer.json", "metrics.json", "metrics.csv"),
    makes=Role(model="finetuned", corpus="domain"),
    inputs={
        "model": Input(("pretrain", "imported"), model="pretrained"),
        "tokens": Input(("encode",)),
        "tokenizer": Input(("tokenizer", "imported"), model="pretrained"),
        "replayed": Input(
            ("encode",), corpus="base", when=lambda chosen: chosen.finetune.replay > 0
        ),
    },
    sections={"training": "finetune"},
    rerun=Rerun.LOSSES,
    resources=Resources(mem_mb=2000, minutes=120, is_parallel=True),
    trains=True,
)


def run(task: Task) -> None:
    """Write the model, its log and its samples (see `training.outputs`)."""
    from variorum.model import checkpoint
    from variorum.training.loop import Host
    from variorum.training.outputs import train

    settings = task.settings(FinetuneStage)
    vocabulary = task.inputs["tokenizer"].file("tokenizer.json")
    model = checkpoint.load(task.inputs["model"].folder)
    base = task.inputs.get("replayed")
    outcome = train(
        model,
        vocabulary,
        task.inputs["tokens"].folder,
        settings.training,
        settings.seed,
        Host(
            task.scratch / "state.safetensors",
            task.machine.processes,
            task.machine.checkpoint_seconds,
            task.machine.stop_after,
            task.progress,
            task.use_device(),
        ),
        task.output,
        replayed=base.folder if base else None,
        replay=settings.training.replay,
    )
    task.run["tokens_per_second"] = round(outcome.tokens_per_second)
