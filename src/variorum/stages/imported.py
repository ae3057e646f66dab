"""Read a GPT-2 of Hugging Face's layout with its tokenizer, in place of pretraining."""

import json
from pathlib import Path

from variorum.base.errors import VariorumError
from variorum.config.model_settings import ImportedSettings, ModelSettings
from variorum.config.types import Settings
from variorum.corpus.fetch_context import sha256_of_files
from variorum.model.imported_files import files_of
from variorum.stages.stage import Rerun, Resources, Role, Stage
from variorum.stages.task import Task
from variorum.tokenizer import hugging_face


class ImportedStage(Settings):
    """Read a model that was made elsewhere; `model` is what its files say."""

    imported: ImportedSettings
    model: ModelSettings


STAGE = Stage(
    ImportedStage,
    products=("model.safetensors", "config.json", "tokenizer.json", "metrics.json"),
    makes=Role(model="pretrained", corpus="base"),
    label="{imported.path}",
    when=lambda chosen: chosen.imported is not None,
    rerun=Rerun.PAGES,
    resources=Resources(mem_mb=2000),
)


def run(task: Task) -> None:
    """Write `model.safetensors`, `config.json`, `tokenizer.json` and `metrics.json`."""
    from variorum.model import checkpoint

    settings = task.settings(ImportedStage)
    chosen = settings.imported
    folder = task.root / Path(chosen.path).expanduser()
    found = sha256_of_files(files_of(folder), folder)
    if found != chosen.sha256:
        raise VariorumError(
            f"imported.sha256: the model in {chosen.path} has SHA-256 {found}, expected "
            f"{chosen.sha256}; put the expected files back, or set sha256 to the one found"
        )
    model, tokenizer = checkpoint.load(folder), hugging_face.load(folder)
    if model.vocab_size != tokenizer.vocab_size:
        raise VariorumError(
            f"{chosen.path}: the model knows {model.vocab_size} tokens, and its tokenizer "
            f"{tokenizer.vocab_size}; the two are not of one model"
        )
    checkpoint.save(model, task.output)
    tokenizer.save(task.output / "tokenizer.json")
    text = json.dumps({"parameters": model.n_parameters}, indent=2)
    (task.output / "metrics.json").write_text(text + "\n", encoding="utf-8")
    task.progress.say(f"{model.n_parameters:,} parameters, {tokenizer.vocab_size:,} tokens")
