"""Ask one model to write: hard cases with verdicts, and samples."""

import json
from dataclasses import asdict

from variorum.config.evaluation_settings import StressSettings
from variorum.config.types import Settings
from variorum.stages.stage import Input, Rerun, Resources, Stage, Storage
from variorum.stages.task import Task
from variorum.tokenizer.serialization import load as load_tokenizer


class StressStage(Settings):
    """Ask one model to write."""

    stress: StressSettings


STAGE = Stage(
    StressStage,
    products=("cases.json", "samples.json"),
    per=("model",),
    inputs={"model": Input(("pretrain", "imported", "finetune")), "tokens": Input(("encode",))},
    storage=Storage.BUNDLED,
    rerun=Rerun.CASES,
    resources=Resources(mem_mb=2000, minutes=30),
)


def run(task: Task) -> None:
    """Write `cases.json` and `samples.json`."""
    from variorum.corpus.tokenfile import TokenFile
    from variorum.evaluation.frequencies import token_counts
    from variorum.evaluation.stress.catalogue import catalogue, samples
    from variorum.model import checkpoint

    settings = task.settings(StressStage).stress
    folder, tokens = task.inputs["model"].folder, task.inputs["tokens"].folder
    model = checkpoint.load(folder).to(task.use_device())
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    cases = catalogue(
        model,
        tokenizer,
        settings,
        held_out=TokenFile.open(tokens, "val").tokens,
        train_counts=token_counts(TokenFile.open(tokens, "train").tokens, tokenizer.vocab_size),
    )
    written = {
        "cases": [asdict(case) for case in cases],
        "samples": samples(model, tokenizer, settings),
    }
    for name, content in written.items():
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (task.output / f"{name}.json").write_text(text, encoding="utf-8")
    passed = sum(case.passed for case in cases)
    task.progress.say(f"{passed} of {len(cases)} cases passed")
