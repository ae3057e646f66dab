"""Train from token files to result files: a model in the field's formats, log, samples."""

import csv
import json
import shutil
from pathlib import Path

from variorum.config.training_settings import TrainingSettings
from variorum.corpus.tokenfile import TokenFile
from variorum.model import checkpoint
from variorum.model.gpt import GPT
from variorum.tokenizer.serialization import load as load_tokenizer
from variorum.training import diagnostics, state
from variorum.training.loop import Data, Host, Outcome, Training

LAST_INTERVAL = "last_interval.safetensors"

COLUMNS = (
    "step",
    "train_loss",
    "val_loss",
    "learning_rate",
    "gradient_norm",
    "weights_sha256",
)


def train(
    model: GPT,
    vocabulary: Path,
    tokens: Path,
    settings: TrainingSettings,
    seed: int,
    host: Host,
    output: Path,
    *,
    replayed: Path | None = None,
    replay: float = 0.0,
) -> Outcome:
    """Train `model` on the token files in `tokens` and write the result into `output`.

    `vocabulary` is the `tokenizer.json` that the files were encoded with. `replayed` are the token
    files of the base corpus, from which a fine-tuning still takes the share `replay` of a batch.
    """
    parts = {part: TokenFile.open(tokens, part).tokens for part in ("train", "val")}
    base = None if replayed is None else TokenFile.open(replayed, "train").tokens
    tokenizer = load_tokenizer(vocabulary)
    outcome = Training(
        model, tokenizer, Data(**parts, replayed=base, replay=replay), settings, seed, host
    ).run()
    write(output, model, vocabulary, outcome)
    return outcome


def write(folder: Path, model: GPT, tokenizer: Path, outcome: Outcome) -> None:
    """Write everything that a training result holds into `folder`.

    `model.safetensors`, `config.json`, `tokenizer.json`; `metrics.csv` by step, with losses in nats
    a token; `diagnostics.csv` (see `training.diagnostics`); `metrics.json` at the end;
    `samples.jsonl`; `last_interval.safetensors`, from which the end of the training can be
    replayed.
    """
    checkpoint.save(model, folder)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    with (folder / "metrics.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(outcome.rows)
    summary = json.dumps(outcome.summary, indent=2, sort_keys=True)
    (folder / "metrics.json").write_text(summary + "\n", encoding="utf-8")
    with (folder / "diagnostics.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, diagnostics.COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(outcome.diagnostics)
    samples = [json.dumps(sample, ensure_ascii=False) + "\n" for sample in outcome.samples]
    (folder / "samples.jsonl").write_text("".join(samples), encoding="utf-8")
    state.write(folder / LAST_INTERVAL, outcome.last_interval)
