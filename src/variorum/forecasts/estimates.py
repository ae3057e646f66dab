"""How long results would take here, and how large they would be, with what each figure stands on.

What was made on this very processor tells it best: trainings with the same steps, then such as cost
about as many operations, and of other stages those with the most in common. Where there is none, a
few steps of the planned training are timed, and other stages are guessed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from math import ceil, log
from pathlib import Path
from statistics import median
from typing import Protocol

from variorum import components, sources
from variorum.config.canonical import restored
from variorum.config.model_settings import ModelSettings
from variorum.config.training_settings import TrainingSettings
from variorum.corpus.source import ChangingSource
from variorum.errors import VariorumError
from variorum.forecasts import pace
from variorum.machine import Device, processor
from variorum.model import config_file
from variorum.paces import CHARACTERS, Steps
from variorum.plan import Node
from variorum.stages.stage_settings import TRAININGS, DownloadStage, FinetuneStage, PretrainStage
from variorum.store import Ref, Result, Spec, Store, StoreError, size_of

TIMING_SECONDS = 6.0
"""For timing all trainings together that nothing at hand tells of."""

NEAREST = 5
"""Of what was made here, so many at most are taken for one figure."""

AS_COSTLY = 2.0
"""Trainings whose steps take up to so many times the operations tell of each other."""

START_SECONDS = 3.0
"""Until a stage's process has loaded its libraries, where no result tells it."""

GUESSED = {
    "download": (5.0, 2_000_000),
    "normalize": (2.0, 2_000_000),
    "tokenizer": (2.0, 100_000),
    "encode": (2.0, 1_500_000),
    "imported": (4.0, 5_000_000),
    "evaluate": (9.0, 200_000),
    "stress": (8.0, 200_000),
    "figures": (6.0, 500_000),
    "report": (3.0, 4_000_000),
    "table": (5.0, 2_000_000),
}
"""Seconds, from the start of the process, and bytes of stages that nothing at hand tells of: about
what they are for `tiny` on two cores."""

OF_CORPUS = {"download": 1.0, "normalize": 1.0, "encode": 1.2}
"""Bytes of the stages that hold a whole corpus, for each of its text."""

OF_TEXT = {"normalize": "documents", "encode": "text"}
"""The upstream that these have their text from."""

AROUND = 150_000
"""Bytes of what every result holds besides: its manifest and its code."""

MADE = "made here"
SCALED = "made here, by operations"
TIMED = "steps timed just now"
GUESS = "a guess"


@dataclass(frozen=True)
class Estimate:
    """What one result costs, with the start of its process.

    basis: what the seconds stand on, in words. evidence: the results or steps that this means.
    """

    seconds: float
    n_bytes: int
    basis: str = GUESS
    evidence: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Training:
    """A training, planned or past: its steps, and how many of them."""

    steps: Steps
    count: int

    @property
    def kind(self) -> str:
        """Equal for trainings whose steps take as long."""
        return self.steps.as_json()

    @property
    def tokens(self) -> int:
        """That a step sees."""
        return self.steps.training.batch_size * self.steps.model.context_length

    def passes(self, processes: int) -> float:
        """Tokens that go forward through the model one after the other, looks at val included.

        A backward pass counts as two; processes share a batch by whole shards.
        """
        chosen = self.steps.training
        looks = 1 + ceil(self.count / chosen.val_interval)
        taken = 3 * self.count * self.tokens + looks * chosen.val_tokens
        return taken * _share(chosen, processes)

    def seconds_a_pass(self, seconds: float, processes: int) -> float:
        """What one of these takes where a step takes `seconds`."""
        return seconds / (3 * self.tokens * _share(self.steps.training, processes))

    @property
    def arithmetic(self) -> tuple[str, bool]:
        """What operations of trainings must have in common to take about as long."""
        return self.steps.training.precision, self.steps.training.compile

    @property
    def flops(self) -> int:
        """Operations of the forward pass for one token."""
        return _cost(self.steps.model, self.steps.vocab_size)[0]


def _share(training: TrainingSettings, processes: int) -> float:
    """The part of a batch that the busiest process computes."""
    return ceil(training.shards / min(processes, training.shards)) / training.shards


@cache
def _cost(model: ModelSettings, vocab_size: int) -> tuple[int, int]:
    """Operations of the forward pass for one token, and bytes of the weights."""
    from variorum.model.description import describe_settings  # with PyTorch

    found = describe_settings(model, vocab_size)
    return found.flops, found.weight_bytes


@dataclass(frozen=True)
class Past:
    """A result that was made on this processor; start: of its process, if that was noted."""

    result: Result
    spec: Spec
    label: str
    seconds: float
    start: float | None
    processes: int
    tokens_per_second: float | None

    @cached_property
    def n_bytes(self) -> int:
        """What it takes on the disk."""
        return size_of(self.result.folder)

    @cached_property
    def training(self) -> Training | None:
        """What it did, of a training; None if its files do not tell, or not to this version."""
        with suppress(VariorumError, OSError, ValueError, KeyError):
            model, vocab_size = config_file.read(self.result.file("config.json"))
            count = self.result.json("metrics.json")["steps"]
            return Training(Steps(model, vocab_size, _settings(self.spec).training), count)
        return None

    def seconds_a_pass(self, own: Training) -> float:
        """What each of its passes took; one that went on after a stop noted its speed alone."""
        speed = self.tokens_per_second
        seconds = max(self.seconds, own.count * own.tokens / speed if speed else 0.0)
        return seconds / own.passes(self.processes)


def _settings(spec: Spec) -> PretrainStage | FinetuneStage:
    """What a training's spec says."""
    if spec.stage == "pretrain":
        return restored(PretrainStage, dict(spec.settings))
    return restored(FinetuneStage, dict(spec.settings))


class Timing(Protocol):
    """Times steps, as `pace.measure` does."""

    def __call__(
        self, asked: Sequence[Steps], *, seconds: float, processes: int, device: Device
    ) -> list[pace.Pace]:
        """The pace of each of these trainings."""


class Estimates:
    """What results would cost here, with trainings on so many processes."""

    def __init__(
        self,
        store: Store,
        processes: int,
        device: Device = "cpu",
        timing: Timing = pace.measure,
    ) -> None:
        self.store, self.processes, self.device, self.timing = store, processes, device, timing
        self.guesses_vocabulary = False
        self._of_stage: dict[str, list[Past]] = {}

    def of(self, nodes: Iterable[Node]) -> dict[Ref, Estimate]:
        """The estimate of each of these; trainings that nothing tells of are timed together."""
        found: dict[Ref, Estimate] = {}
        unknown: dict[Ref, Training] = {}
        for node in nodes:
            if node.ref.stage not in TRAININGS:
                found[node.ref] = self._of_other(node)
                continue
            training = self._planned(node)
            if estimate := self._of_training(node.ref.stage, training):
                found[node.ref] = estimate
            else:
                unknown[node.ref] = training
        return found | dict(self._of_timed(unknown))

    def _past(self, stage: str) -> list[Past]:
        """Every result of a stage that was made on this processor, and tells how long it took."""
        if stage not in self._of_stage:
            self._of_stage[stage] = list(_made(self.store, stage, self.device))
        return self._of_stage[stage]

    def _start(self, stage: str) -> float:
        """Seconds until a stage's process begins with its work."""
        known = [past.start for past in self._past(stage) if past.start is not None]
        return median(known) if known else START_SECONDS

    # Trainings

    def _planned(self, node: Node) -> Training:
        chosen = _settings(node.spec)
        begun = node if isinstance(chosen, PretrainStage) else node.upstream["model"]
        model = restored(ModelSettings, dict(begun.spec.settings["model"]))
        vocab_size = self._vocab_size(node.upstream["tokenizer"])
        return Training(Steps(model, vocab_size, chosen.training), chosen.training.max_steps)

    def _vocab_size(self, tokenizer: Node) -> int:
        """How many tokens there will be; a guess where the text decides that, and was not seen."""
        if tokenizer.ref.stage == "imported":
            folder = Path(tokenizer.spec.settings["imported"]["path"]).expanduser()
            return config_file.read(self.store.root / folder / "config.json")[1]
        size: int | None = tokenizer.spec.settings["tokenizer"]["vocab_size"]
        if size is not None:
            return size
        if self.store.exists(tokenizer.ref):
            from variorum.tokenizer.files import load

            return load(self.store.open(tokenizer.ref).file("tokenizer.json")).vocab_size
        self.guesses_vocabulary = True
        return CHARACTERS

    def _of_training(self, stage: str, planned: Training) -> Estimate | None:
        """By the trainings that were made here; None if none of them is like it."""
        past = [(e, e.training) for each in TRAININGS for e in self._past(each)]
        known = [(each, own) for each, own in past if own is not None]
        alike = [(each, own) for each, own in known if own.kind == planned.kind]
        work, basis = planned.passes(self.processes), MADE
        if alike:
            n_bytes = round(median(each.n_bytes for each, _ in alike))
            paces = [each.seconds_a_pass(own) for each, own in alike]
        elif alike := _as_costly(known, planned):
            n_bytes, basis = _bytes_of(planned), SCALED
            paces = [e.seconds_a_pass(own) * planned.flops / own.flops for e, own in alike]
        else:
            return None
        evidence = frozenset(str(each.result.ref) for each, _ in alike)
        return Estimate(self._start(stage) + work * median(paces), n_bytes, basis, evidence)

    def _of_timed(self, unknown: Mapping[Ref, Training]) -> Iterator[tuple[Ref, Estimate]]:
        """By a few steps of each kind of training; the time that may take is shared by all."""
        kinds = {training.kind: training for training in unknown.values()}
        if not kinds:
            return
        timed = self.timing(
            [_uncompiled(training.steps) for training in kinds.values()],
            seconds=TIMING_SECONDS / len(kinds),
            processes=self.processes,
            device=self.device,
        )
        paces = dict(zip(kinds, timed, strict=True))
        for ref, training in unknown.items():
            found = paces[training.kind]
            own = training.seconds_a_pass(found.seconds, self.processes)
            yield (
                ref,
                Estimate(
                    self._start(ref.stage) + own * training.passes(self.processes),
                    _bytes_of(training),
                    TIMED,
                    frozenset(f"{training.kind} {number}" for number in range(found.steps)),
                ),
            )

    # Other stages

    def _of_other(self, node: Node) -> Estimate:
        """By those results of the stage that have the most in common with it."""
        past = self._past(node.ref.stage)
        if not past:
            return self._guessed(node)
        shared = [_in_common(each, node) for each in past]
        alike = [each for each, own in zip(past, shared, strict=True) if own == max(shared)]
        return Estimate(
            self._start(node.ref.stage) + median(each.seconds for each in alike),
            round(median(each.n_bytes for each in alike)),
            MADE,
            frozenset(str(each.result.ref) for each in alike),
        )

    def _guessed(self, node: Node) -> Estimate:
        seconds, n_bytes = GUESSED[node.ref.stage]
        if node.ref.stage in OF_CORPUS and (size := self._corpus(node)):
            n_bytes = round(OF_CORPUS[node.ref.stage] * size)
        return Estimate(seconds, n_bytes + AROUND)

    def _corpus(self, node: Node) -> int | None:
        """Bytes of the text that a corpus's stage reads, as far as they can be known."""
        while node.ref.stage != "download":
            node = node.upstream[OF_TEXT[node.ref.stage]]
        if self.store.exists(node.ref):
            return self.store.glance(node.ref).n_bytes
        source = restored(DownloadStage, dict(node.spec.settings)).source
        if isinstance(source, ChangingSource):
            entry = sources.entries(self.store.root).get(source.lock_name)
            return entry.n_bytes if entry else None
        return source.n_bytes_here(self.store.root)


def _made(store: Store, stage: str, device: Device) -> Iterator[Past]:
    here = processor()
    for ref in store.refs(stage):
        with suppress(StoreError):  # one that is damaged tells nothing
            result = store.glance(ref)
            run = result.run
            if run.get("processor") != here or run.get("device", device) != device:
                continue
            if isinstance(seconds := run.get("seconds"), (int, float)):
                yield Past(
                    result,
                    result.spec,
                    str(run.get("label", "")),
                    float(seconds),
                    run.get("start_seconds"),
                    run.get("processes", 1),
                    run.get("tokens_per_second"),
                )


def _as_costly(
    known: Iterable[tuple[Past, Training]], planned: Training
) -> list[tuple[Past, Training]]:
    """The trainings whose steps take about as many operations, the nearest few of them."""
    near = []
    for each, own in known:
        if own.arithmetic == planned.arithmetic:
            ratio = (own.flops * own.tokens) / (planned.flops * planned.tokens)
            near.append((abs(log(ratio)), str(each.result.ref), each, own))
    close = sorted(found for found in near if found[0] <= log(AS_COSTLY))
    return [(each, own) for _, _, each, own in close[:NEAREST]]


def _bytes_of(training: Training) -> int:
    """The files of a training: the weights, and with the optimizer's states to replay its end."""
    optimizer = components.load("training/optimizers", training.steps.training.optimizer)
    _, weights = _cost(training.steps.model, training.steps.vocab_size)
    return (2 + len(optimizer.STATES)) * weights + AROUND


def _uncompiled(steps: Steps) -> Steps:
    """Compiling takes longer than there is time for."""
    chosen = steps.training.model_copy(update={"compile": False})
    return Steps(steps.model, steps.vocab_size, chosen)


def _in_common(past: Past, node: Node) -> tuple[bool, int, bool]:
    """Whether settings, how many upstream results, and whether the label is the same."""
    upstream = node.spec.upstream
    same = sum(past.spec.upstream.get(name) == ref for name, ref in upstream.items())
    return past.spec.settings == node.spec.settings, same, past.label == node.label
