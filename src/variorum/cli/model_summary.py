"""Summarize a model and its cost in lines, from a result or a plan.

The numbers come from `model.description`. A plan is described before it runs, so its vocabulary
comes from the settings; if these leave it to the text, the tokenizer must exist.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from variorum.base import components
from variorum.base.counts import counted
from variorum.base.errors import VariorumError
from variorum.base.text_tables import table_lines
from variorum.config.canonical import restored
from variorum.config.training_settings import TrainingSettings
from variorum.model import config_file
from variorum.model.description import Description, LayerRow, describe_settings
from variorum.model.imported_files import CONFIG
from variorum.plan import declared
from variorum.plan.experiment import plan_experiment
from variorum.plan.loading import LoadedExperiment, load_experiment
from variorum.plan.references import find
from variorum.stages.registry import MODELS, STAGES, TRAININGS
from variorum.store.store import Store

HEADER = ("layer", "kind", "weights", "parameters", "FLOPs a token")
UNITS = ("", "k", "M", "G", "T", "P", "E")


@dataclass(frozen=True)
class TrainingSummary:
    """Hold a training of the model by its stage, with its number of steps."""

    stage: str
    settings: TrainingSettings
    steps: int


def of_result(reference: str | None, root: Path) -> Iterator[str]:
    """Yield the summary of a finished model, with its training."""
    result = find(reference, root=root)
    if result.ref.stage not in MODELS:
        raise VariorumError(
            f"{result.ref} is no model; name a result of {' or '.join(MODELS)} (`variorum ls`)"
        )
    settings, vocab_size = config_file.read(result.file(CONFIG))
    stage: Any = restored(STAGES[result.ref.stage].settings, dict(result.spec.settings))
    trainings = []
    if result.ref.stage in TRAININGS:
        steps = result.json("metrics.json")["steps"]
        trainings.append(TrainingSummary(result.ref.stage, stage.training, steps))
    yield f"{result.ref} ({result.run.get('label', 'no label')})"
    yield from _lines(describe_settings(settings, vocab_size), vocab_size, trainings)


def of_plan(overrides: Mapping[str, Any], root: Path) -> Iterator[str]:
    """Yield the summary of the current experiment's model, with its planned trainings."""
    loaded = load_experiment(root, overrides)
    chosen = loaded.settings
    vocab_size = _vocab_size(loaded, root)
    planned = {
        name: getattr(chosen, STAGES[name].sections["training"])
        for name in TRAININGS
        if declared.roles_of(STAGES[name], chosen)
    }
    trainings = [TrainingSummary(name, each, each.max_steps) for name, each in planned.items()]
    yield f"experiment {loaded.name}, as planned"
    yield from _lines(describe_settings(chosen.model, vocab_size), vocab_size, trainings)


def _vocab_size(loaded: LoadedExperiment, root: Path) -> int:
    """Return the vocabulary's size of the experiment's model."""
    if (imported := loaded.settings.imported) is not None:
        return config_file.read(root / Path(imported.path).expanduser() / CONFIG)[1]
    size = loaded.settings.tokenizer.vocab_size
    if size is not None:
        return size
    from variorum.tokenizer.serialization import load

    (node,) = plan_experiment(loaded, root, offline=True).of_stage("tokenizer")
    store = Store(root)
    if not store.exists(node.ref):
        raise VariorumError(
            f"tokenizer.kind is {loaded.settings.tokenizer.kind}: its vocabulary comes from the "
            f"text, and {node.ref} is not made yet; run `snakemake --cores 1 tokenizer`"
        )
    return load(store.open(node.ref).file("tokenizer.json")).vocab_size


# Lines


def _lines(
    found: Description, vocab_size: int, trainings: Sequence[TrainingSummary]
) -> Iterator[str]:
    yield from table_lines(map(_cells, found.rows), HEADER, HEADER[3:])
    yield ""
    yield from _pairs(_facts(found, vocab_size))
    for training in trainings:
        steps = counted(training.steps, "step")
        yield f"{training.stage}, {steps} with {training.settings.optimizer}"
        yield from _pairs(_costs(found, training))


def _cells(row: LayerRow) -> tuple[str, ...]:
    shapes = ", ".join("×".join(map(str, shape)) for shape in row.shapes)
    return row.name, row.kind, shapes, f"{row.parameters:,}", f"{row.flops:,}"


def _facts(found: Description, vocab_size: int) -> Iterator[tuple[str, str]]:
    yield (
        "parameters",
        f"{found.parameters:,}, including {found.embedding_parameters:,} in embeddings",
    )
    yield "vocabulary", counted(vocab_size, "token")
    yield "context", counted(found.context_length, "token")
    yield "forward, a token", _scaled(found.flops, "FLOPs")
    yield "weights", _scaled(found.weight_bytes, "bytes")
    yield "cache of keys and values, one sequence", _scaled(found.cache_bytes, "bytes")


def _costs(found: Description, training: TrainingSummary) -> Iterator[tuple[str, str]]:
    chosen = training.settings
    tokens = chosen.batch_size * found.context_length
    states = len(components.load("training/optimizers", chosen.optimizer).STATES)
    memory = found.training_bytes(chosen.shards, states)
    yield (
        "a step",
        f"{_scaled(found.training_flops(tokens), 'FLOPs')} for {counted(tokens, 'token')}",
    )
    seen = tokens * training.steps
    yield (
        "the training",
        f"{_scaled(found.training_flops(seen), 'FLOPs')} for {counted(seen, 'token')}",
    )
    yield (
        "memory without activations",
        f"{_scaled(memory, 'bytes')} with {chosen.shards} shards and {states} states of "
        f"{chosen.optimizer} for each weight",
    )


def _scaled(number: int, unit: str) -> str:
    """Return three digits with the decimal prefix that fits: `1.25 MFLOPs`."""
    power = min((len(str(number)) - 1) // 3, len(UNITS) - 1)
    if float(f"{number / 1000**power:.3g}") >= 1000 and power < len(UNITS) - 1:
        power += 1
    if unit == "bytes" and power:
        unit = "B"
    return f"{number / 1000**power:.3g} {UNITS[power]}{unit}"


def _pairs(pairs: Iterator[tuple[str, str]]) -> Iterator[str]:
    rows = list(pairs)
    width = max(len(name) for name, _ in rows)
    yield from (f"  {name:<{width}}  {value}" for name, value in rows)
