"""Prove that this code makes an old result, by rerunning part of a training.

A training runs again up to its first validation, and its end runs again from the state in the
result: losses, weights' hashes and every file must be the same. Weights chosen before that end are
compared with their hash in the log. Any other stage runs whole. The evidence is in lines for
people, equal wherever it was found; `VariorumError` names what differs.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from variorum.audit.verify.file_diff import LOG, compare, log_of
from variorum.base.errors import Stopped, VariorumError
from variorum.base.machine import Machine
from variorum.base.progress import Progress
from variorum.identity.spec import Spec
from variorum.run.runner import compute
from variorum.stages.registry import TRAININGS
from variorum.stages.task import Task
from variorum.store.result import Result
from variorum.store.store import Store

STATE = "state.safetensors"
LAST_INTERVAL = "last_interval.safetensors"


@dataclass(frozen=True)
class Evidence:
    """Hold the proof, in lines for people; `complete` if nothing was left out."""

    lines: tuple[str, ...]
    complete: bool = False


def evidence(
    store: Store,
    spec: Spec,
    inputs: Mapping[str, Result],
    old: Result,
    folder: Path,
    here: Machine,
    progress: Progress,
) -> Evidence:
    """Compute `spec` in `folder`, a training in part, and compare with an old result.

    `inputs` are what the old one was made from. Raises `VariorumError`.
    """
    again = _Again(store, Task(spec, inputs, store.root, folder, folder, here, progress), old)
    return again.training() if spec.stage in TRAININGS else again.whole()


class _Again:
    """Run one stage again, beside an old result of it."""

    def __init__(self, store: Store, task: Task, old: Result) -> None:
        self.store, self.task, self.old = store, task, old

    def whole(self) -> Evidence:
        """Run it from its beginning to its end."""
        self._run("whole", self.task.machine)
        return Evidence((f"computed again as a whole: {self._same_files('whole')}",), complete=True)

    def training(self) -> Evidence:
        """Run its first and last interval; a short training runs whole."""
        settings = self.old.spec.settings["training"]
        interval, steps = settings["val_interval"], settings["max_steps"]
        if steps <= interval:
            return self.whole()
        return Evidence((self._first_steps(interval), self._last_steps(steps)))

    def _run(self, part: str, machine: Machine) -> None:
        work = self.task.scratch / part
        output = work / "output"
        output.mkdir(parents=True)
        compute(self.store, replace(self.task, output=output, scratch=work, machine=machine))

    def _same_files(self, part: str) -> str:
        """Return evidence that every file is the same, or raise `VariorumError`."""
        found = compare(self.old.folder, self.task.scratch / part / "output")
        if not found.is_identical:
            raise self._disproved(found.in_short())
        return f"{found.identical} files are the same, byte for byte"

    def _disproved(self, what: str) -> VariorumError:
        return VariorumError(f"this code does not make what {self.old.ref} holds: {what}")

    def _first_steps(self, count: int) -> str:
        from variorum.training import state

        try:
            self._run("first", replace(self.task.machine, stop_after=count))
        except Stopped as stop:
            saved = state.read(self.task.scratch / "first" / STATE)
            if saved is None or saved[0].position.step < count:
                raise stop  # not by us
        else:
            raise self._disproved(f"it does not stop at step {count}")
        position = saved[0].position
        rows = [{k: "" if v is None else str(v) for k, v in row.items()} for row in position.rows]
        self._same_rows(rows, log_of(self.old.folder), count)
        lines = self.old.file("samples.jsonl").read_text(encoding="utf-8").split("\n")
        samples = [json.loads(line) for line in lines if line]
        self._same_rows(position.samples, samples, count)
        digest = position.rows[-1]["weights_sha256"]
        return (
            f"steps 0 to {count} computed again: the same losses and samples, and the same weights "
            f"(sha256 {digest})"
        )

    def _same_rows(
        self, found: Iterable[Mapping[str, Any]], stored: Iterable[Mapping[str, Any]], last: int
    ) -> None:
        """Compare rows by step with the rows of the old result up to step `last`."""
        new = {int(row["step"]): row for row in found}
        old = {int(row["step"]): row for row in stored if int(row["step"]) <= last}
        for step in sorted(old.keys() | new.keys()):
            for name in {**old.get(step, {}), **new.get(step, {})}:
                values = [rows.get(step, {}).get(name) for rows in (old, new)]
                if values[0] != values[1]:
                    raise self._disproved(f"{name} at step {step} was {values[0]}, is {values[1]}")

    def _last_steps(self, steps: int) -> str:
        from variorum.training import state

        saved = state.read(self.old.folder / LAST_INTERVAL)
        if saved is None:
            raise VariorumError(
                f"{self.old.ref} cannot be replayed: its {LAST_INTERVAL} is missing, or this code "
                "cannot read it"
            )
        (tensors, position), _ = saved
        begun = position.step
        tensors["best"], carried = tensors["weights"].clone(), ""
        if self.old.json("metrics.json")["chosen_step"] <= begun:
            tensors["best"], carried = self._carried_over()
        state.write(self.task.scratch / "last" / STATE, state.State(tensors, position))
        self._run("last", self.task.machine)
        output = self.task.scratch / "last" / "output"
        self._same_rows(log_of(output), log_of(self.old.folder), steps)
        digest = self.old.manifest["files"]["model.safetensors"]["sha256"]
        return (
            f"steps {begun} to {steps} computed again from {LAST_INTERVAL}: "
            f"{self._same_files('last')} (model.safetensors: sha256 {digest}{carried})"
        )

    def _carried_over(self) -> tuple[Any, str]:
        """Return the old flat weights, chosen before the last interval, and the evidence.

        The replay only copies them, so its model.safetensors proves nothing; their hash must be the
        one in the log at the chosen step.
        """
        from variorum.model import checkpoint
        from variorum.training import flat

        model = checkpoint.load(self.old.folder)
        weights = flat.gather(flat.Layout.of(model), model)
        step = self.old.json("metrics.json")["chosen_step"]
        noted = [r["weights_sha256"] for r in log_of(self.old.folder) if int(r["step"]) == step]
        digest = hashlib.sha256(weights.numpy().tobytes()).hexdigest()
        if noted != [digest]:
            raise self._disproved(
                f"the weights in model.safetensors differ from the hash in {LOG} at step {step}, "
                "where they were chosen"
            )
        return weights, (
            f", which was chosen before, at step {step}, and carried over: its weights have the "
            f"sha256 that {LOG} notes there, {digest}"
        )
