"""finetune: a pretrained model trained on, at a lower rate, on the domain corpus."""

from variorum.model import checkpoint
from variorum.stages.stage_settings import FinetuneStage
from variorum.stages.task import Task
from variorum.training.loop import Host
from variorum.training.outputs import train


def run(task: Task) -> None:
    """Write the model, its log and its samples (see `training.outputs`)."""
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
