"""Read a GPT-2 of Hugging Face's layout with its tokenizer, in place of pretraining."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from variorum.base.errors import VariorumError
from variorum.config.model_settings import ImportedSettings, ModelSettings
from variorum.config.types import Settings
from variorum.corpus.fetch_context import sha256_of_files
from variorum.model.imported_files import files_of
from variorum.stages.stage import Rerun, Resources, Role, Stage
from variorum.stages.task import Task
from variorum.tokenizer import hugging_face
from variorum.tokenizer.base import Tokenizer

if TYPE_CHECKING:
    from variorum.model.gpt import GPT


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
    _refuse_unusable(chosen.path, model, tokenizer)
    checkpoint.save(model, task.output)
    tokenizer.save(task.output / "tokenizer.json")
    text = json.dumps({"parameters": model.n_parameters}, indent=2)
    (task.output / "metrics.json").write_text(text + "\n", encoding="utf-8")
    task.progress.say(f"{model.n_parameters:,} parameters, {tokenizer.vocab_size:,} tokens")


def _refuse_unusable(path: str, model: "GPT", tokenizer: Tokenizer) -> None:
    """Raise `VariorumError` if model and tokenizer do not fit, or a weight is no number."""
    known, listed = model.vocab_size, tokenizer.vocab_size
    if known > listed:
        raise VariorumError(
            f"{path}: the model has {known} rows of tokens, and its tokenizer {listed} tokens; if "
            f"the rows beyond are padding, cut them by transformers: "
            f"model.resize_token_embeddings({listed}), then save_pretrained; else the two are not "
            "of one model"
        )
    if known < listed:
        raise VariorumError(
            f"{path}: the model knows {known} tokens, and its tokenizer {listed}; the two are not "
            "of one model"
        )
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise VariorumError(
                f"{path}: {name} holds numbers that are not finite, as after a training that "
                "diverged; take a checkpoint from before"
            )
