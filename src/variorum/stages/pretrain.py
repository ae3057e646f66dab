"""pretrain: a Transformer trained from nothing on the base corpus."""

from variorum.model.gpt import GPT
from variorum.stages.stage_settings import PretrainStage
from variorum.stages.task import Task
from variorum.tokenizer.serialization import load as load_tokenizer
from variorum.training.loop import Host
from variorum.training.outputs import train


def run(task: Task) -> None:
    """Write the model, its log and its samples (see `training.outputs`)."""
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
