"""Train a Transformer from nothing on the base corpus."""

from variorum.config.model_settings import ModelSettings
from variorum.config.training_settings import TrainingSettings
from variorum.config.types import Settings, Whole
from variorum.stages.stage import Input, Rerun, Resources, Role, Stage
from variorum.stages.task import Task
from variorum.tokenizer.serialization import load as load_tokenizer


class PretrainStage(Settings):
    """Train from nothing."""

    seed: Whole
    model: ModelSettings
    training: TrainingSettings


STAGE = Stage(
    PretrainStage,
    products=("model.safetensors", "config.json", "tokenizer.json", "metrics.json", "metrics.csv"),
    makes=Role(model="pretrained", corpus="base"),
    inputs={"tokens": Input(("encode",)), "tokenizer": Input(("tokenizer",))},
    sections={"training": "pretrain"},
    when=lambda chosen: chosen.imported is None,
    rerun=Rerun.LOSSES,
    resources=Resources(mem_mb=2000, minutes=120, is_parallel=True),
    trains=True,
)


def run(task: Task) -> None:
    """Write the model, its log and its samples (see `training.outputs`)."""
    from variorum.model.gpt import GPT
    from variorum.training.loop import Host
    from variorum.training.outputs import train

    settings = task.settings(PretrainStage)
    vocabulary = task.inputs["tokenizer"].file("tokenizer.json")
    vocab_size = load_tokenizer(vocabulary).vocab_size
    model = GPT(settings.model, vocab_size, seed=settings.seed)
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
    )
    task.run["tokens_per_second"] = round(outcome.tokens_per_second)
