"""Measure how long steps of a training take here, before anything is trained.

The steps are steps of `training.loop`, with its processes and its optimizer. They run in a process
of their own, as trainings do: with one thread, and without loading numerical libraries into the
process that plans.
"""

import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from variorum.base import machine
from variorum.base.progress import Progress
from variorum.config.canonical import canonical
from variorum.config.model_settings import ModelSettings
from variorum.config.training_settings import TrainingSettings

MATTER = (
    "optimizer",
    "muon_iterations",
    "muon_separately",
    "batch_size",
    "accumulation",
    "precision",
    "compile",
    "shards",
    "freeze",
)
"""Settings of a training that the time of its steps depends on; rates and schedules are none."""

CHARACTERS = 350
"""Tokens of a vocabulary that the text decides, before it is known: 256 bytes, letters, signs."""

WARM_UP = 2
"""So many steps at the beginning do not count: the first ones take longer."""

NEVER = 10**9
WINDOWS = 64


@dataclass(frozen=True)
class Steps:
    """Name steps that take equally long; vocab_size: None where the text decides it."""

    model: ModelSettings
    vocab_size: int | None
    training: TrainingSettings

    @property
    def digest(self) -> str:
        """Return a hash of all that decides how long they take, but the machine."""
        chosen = canonical(self.training)
        data = {
            "model": canonical(self.model),
            "training": {name: chosen[name] for name in MATTER if name in chosen},
            "vocab_size": self.vocab_size,
        }
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Timing:
    """Hold how long steps take.

    seconds: of a step, the median of the rounds' medians.

    spread: how much longer the slowest round's was than the fastest's, as a share of that.
    steps: that were timed.
    """

    seconds: float
    spread: float
    steps: int


def measure(asked: Sequence[Steps], *, seconds: float, rounds: int, processes: int) -> list[Timing]:
    """Measure each of these trainings on the CPU, for so many seconds each.

    They take turns, `rounds` times, so that what else this machine does slows all of them alike.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), machine.use_one_thread) as pool:
        return pool.submit(_measured, list(asked), seconds / rounds, rounds, processes).result()


def _measured(asked: list[Steps], seconds: float, rounds: int, processes: int) -> list[Timing]:
    turns = [[_timed(each, seconds, processes) for each in asked] for _ in range(rounds)]
    return [_timing(own) for own in zip(*turns, strict=True)]


def _timing(turns: Sequence[list[float]]) -> Timing:
    medians = [median(turn) for turn in turns]
    return Timing(median(medians), max(medians) / min(medians) - 1, sum(map(len, turns)))


class _TimeUp(Exception):  # noqa: N818
    """End a training whose steps were timed long enough; no error."""


class _Clock(Progress):
    """Note when each step is done, and end the training when time is up."""

    def __init__(self, seconds: float) -> None:
        super().__init__("step times")
        self.seconds = seconds
        self.done: list[float] = []

    def say(self, text: str) -> None:
        """Discard the text: nobody asked for this training."""

    @contextmanager
    def counting(self, total: int, unit: str, start: int = 0) -> Iterator[None]:
        yield

    def step(self, facts: str = "", count: int = 1) -> None:
        self.done.append(time.perf_counter())
        if len(self.done) > 1 and self.done[-1] - self.done[0] > self.seconds:
            raise _TimeUp

    @property
    def steps(self) -> list[float]:
        """Return the seconds of each step; a slow training may have one only."""
        every = [end - begin for begin, end in pairwise(self.done)]
        return every[WARM_UP - 1 :] or every


def _timed(steps: Steps, seconds: float, processes: int) -> list[float]:
    """Return the seconds of each step of a training that runs for some time.

    It takes at least two steps.

    It validates once, at its beginning, and hardly moves a weight.
    """
    import numpy as np

    from variorum.model.gpt import GPT
    from variorum.tokenizer.kinds.characters import CharacterTokenizer
    from variorum.training.loop import Data, Host, Training

    length, vocab_size = steps.model.context_length, steps.vocab_size or CHARACTERS
    draws = np.random.default_rng(0).integers(vocab_size, size=WINDOWS * length + 1)
    tokens = draws.astype(np.uint32)
    settings = steps.training.model_copy(
        update={
            "learning_rate": 1e-9,
            "min_learning_rate": 0.0,
            "warmup_steps": 0,
            "max_steps": NEVER,
            "val_interval": NEVER,
            "val_tokens": length + 1,
            "patience": None,
            "sample_tokens": 0,
        }
    )
    clock = _Clock(seconds)
    with TemporaryDirectory() as folder, suppress(_TimeUp):
        host = Host(Path(folder, "state"), processes, math.inf, None, clock, "cpu")
        data = Data(tokens, tokens[: length + 2], tokens, getattr(settings, "replay", 0.0))
        model = GPT(steps.model, vocab_size)
        Training(model, CharacterTokenizer(""), data, settings, 0, host).run()
    return clock.steps
