"""Train a model, from scratch or further; read `training.plain` first.

Pretraining and fine-tuning share this loop. A batch is cut into a fixed number of logical shards.
Each shard's gradient is computed by one thread into a vector of its own, and the vectors are summed
in the order of the shards; then the parameters, cut into as many slices, are updated slice by
slice. Both cuts are part of the settings, so one process that does everything and several that
share the work make the same bits.

The log, the samples and the choice of the checkpoint follow from the settings alone; durations do
not enter them.
"""

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from variorum.base import components
from variorum.base.errors import Stopped, VariorumError
from variorum.base.progress import Progress
from variorum.config.evaluation_settings import SamplingSettings
from variorum.config.training_settings import TrainingSettings
from variorum.generation.text import continue_text
from variorum.model.gpt import GPT
from variorum.tokenizer.base import Tokenizer
from variorum.training import batches, diagnostics, flat, state
from variorum.training.batches import Batches, Tokens
from variorum.training.numerics import one_thread
from variorum.training.shards import Shards, sha256_of
from variorum.training.team import Team, assembled, place_of
from variorum.training.validation import Validation

# every field, so that a changed default elsewhere changes nothing here
SAMPLE = SamplingSettings(
    temperature=0.8, top_k=None, top_p=0.95, valid_utf8=False, max_tokens=1, seed=0
)


@dataclass(frozen=True)
class Data:
    """Hold what a training reads: token streams of the train and val parts.

    replayed: the train part of the base corpus, from which fine-tuning still takes the share
    `replay` of each batch.
    """

    train: Tokens
    val: Tokens
    replayed: Tokens | None = None
    replay: float = 0.0


@dataclass(frozen=True)
class Host:
    """Describe where a training runs; none of it changes a result.

    state: file of the state to resume from, saved every `checkpoint_seconds`.
    stop_after: end early, with the state saved, once so many steps are done in all.
    device: where the model computes, by PyTorch's name. One process feeds a GPU.
    """

    state: Path
    processes: int = 1
    checkpoint_seconds: float = 20.0
    stop_after: int | None = None
    progress: Progress = field(default_factory=lambda: Progress("training"))
    device: str = "cpu"


@dataclass(frozen=True)
class Outcome:
    """Hold the outcome of a training; the model holds the chosen weights.

    last_interval: the state at the last validation before the end, to replay the rest from.
    """

    rows: list[dict[str, Any]]
    diagnostics: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    summary: dict[str, Any]
    last_interval: state.State
    tokens_per_second: float


class Training:
    """Train one model; `run` does it, from the saved state if there is one."""

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        data: Data,
        settings: TrainingSettings,
        seed: int,
        host: Host,
    ) -> None:
        self.model, self.tokenizer, self.data = model.to(host.device), tokenizer, data
        self.settings, self.seed, self.host = settings, seed, host
        self.context_length = model.settings.context_length
        batches.check_length(data.train, self.context_length, "the train part")
        batches.check_length(data.val, self.context_length, "the val part")
        if data.replayed is not None:
            batches.check_length(data.replayed, self.context_length, "the base's train part")
        flat.freeze(model, getattr(settings, "freeze", ()))
        own_batches = Batches(
            data.train,
            settings,
            seed,
            self.context_length,
            replayed=data.replayed,
            replay=data.replay,
        )
        self._schedule = components.load("training/schedules", settings.schedule)
        self._size = min(host.processes, settings.shards) if host.device == "cpu" else 1
        place = place_of(self._size)
        self._shards = Shards(model, settings, own_batches, seed, place)
        self._validation = Validation(model, data.val, settings.val_tokens, host.device, place)
        self._stop = place(torch.zeros(1, dtype=torch.int64))
        self._over = place(torch.zeros(1, dtype=torch.int64))
        self._position = state.Position()
        self._best = self._shards.weights.clone()
        self._last_interval: state.State | None = None
        self._watched: diagnostics.Watch | None = None
        self._unread: list[tuple[int, Tensor, Tensor]] = []  # steps, their losses and norms
        self._saved_at = self._begun = time.monotonic()
        self._first_step = 0
        self._asked_to_stop = False

    def run(self) -> Outcome:
        """Train to the end.

        Raises `Stopped` if interrupted, and `VariorumError` if the loss is not finite.
        """
        self._resume()
        settings, done = self.settings, self._position.step
        self._first_step, self._begun = done, time.monotonic()
        with (
            one_thread(),
            assembled(self._size, self._steps) as team,
            self._stopping_on_signals(),
            self.host.progress.counting(settings.max_steps, "steps", done),
        ):
            self._steps(team)
        speed = self._tokens_per_second()
        flat.attach(self._shards.layout, self.model, self._chosen())
        self.model.zero_grad(set_to_none=True)
        self.model.eval()
        position = self._position
        assert self._last_interval is not None
        return Outcome(
            position.rows,
            position.diagnostics,
            position.samples,
            self._summary(),
            self._last_interval,
            speed,
        )

    def _tokens_per_second(self) -> float:
        """Return the speed since this process began or resumed, in tokens a second."""
        steps = self._position.step - self._first_step
        tokens = steps * self.settings.batch_size * self.context_length
        return tokens / (time.monotonic() - self._begun)

    def _chosen(self) -> Tensor:
        chosen = self._best if self.settings.selection == "best" else self._shards.weights
        return chosen.clone()

    def _summary(self) -> dict[str, Any]:
        position, settings = self._position, self.settings
        last = settings.selection == "last"
        per_step = settings.batch_size * self.context_length
        return {
            "parameters": self.model.n_parameters,
            "steps": position.step,
            "tokens_seen": position.step * per_step,
            "train_tokens": len(self.data.train),
            "chosen_step": position.step if last else position.best_step,
            "chosen_val_loss": position.rows[-1]["val_loss"] if last else position.best_val_loss,
            "final_weights_sha256": sha256_of(self._shards.weights),
            "final_states_sha256": sha256_of(self._shards.states),
        }

    # The steps, as every rank takes them

    def _steps(self, team: Team) -> None:
        shards, settings = self._shards, self.settings
        flat.attach(shards.layout, self.model, shards.weights)
        if not self._position.rows:
            self._validate(team)
        while not self._is_over():
            step = self._position.step + 1
            validates = step % settings.val_interval == 0 or step == settings.max_steps
            rate = self._schedule.rate(step, settings)
            shards.begin(step)
            for shard in team.share_of(settings.shards):
                shards.compute_gradient(step, shard)
            team.barrier()
            if team.leads:
                self._save_now_and_then(step)
            for index in team.share_of(settings.shards):
                shards.sum_gradients(index)
            team.barrier()
            if validates:
                self._watch(team)
            for index in team.share_of(settings.shards):
                shards.update(index, step, rate)
            # Noted before the barrier, behind which other ranks write the next losses.
            self._note(step)
            if team.leads:
                self._stop.fill_(self._asked_to_stop or step == self.host.stop_after)
            team.barrier()
            if validates:
                self._validate(team, rate)
            if team.leads:
                self._tell(rate)
            if self._stop.item() and not self._is_over():
                self._stop_here(team)

    def _is_over(self) -> bool:
        """Return whether the last step is done, or the validation loss has stalled."""
        return self._position.step >= self.settings.max_steps or bool(self._over.item())

    def _refuse_non_finite(self, value: float, what: str, step: int) -> None:
        """Raise `VariorumError` if a number that the training depends on is not finite."""
        if not math.isfinite(value):
            saved = self.host.state
            good = f"; the last good state is {saved}" if saved.is_file() else ""
            raise VariorumError(
                f"{what} became {value} at step {step}; lower learning_rate "
                f"(now {self.settings.learning_rate}) or raise warmup_steps "
                f"(now {self.settings.warmup_steps}){good}"
            )

    def _note(self, step: int) -> None:
        """Note a step; a GPU does not wait for that."""
        self._position.step = step
        self._unread.append((step, self._shards.loss, self._shards.norm))
        if self.host.device == "cpu":
            self._catch_up()

    def _catch_up(self) -> None:
        """Read losses and norms since the last time; refuse bad ones."""
        for step, loss, norm in self._unread:
            self._refuse_non_finite(loss.item(), "the loss", step)
            self._refuse_non_finite(norm.item(), "the gradient's norm", step)
            self._position.last_loss = loss.item()
            self._position.train_losses.append(self._position.last_loss)
            self._position.gradient_norm = norm.item()
        self._unread.clear()

    # Validation

    def _watch(self, team: Team) -> None:
        """Record what the update is about to change, before any rank changes it."""
        if team.leads:
            shards = self._shards
            views = shards.gradient_views()
            self._watched = diagnostics.Watch(shards.layout, shards.weights, views)
        team.barrier()

    def _validate(self, team: Team, rate: float = 0.0) -> None:
        """Log a row, choose, and write a sample; ranks share the forward passes."""
        self._catch_up()
        team.barrier()
        self._validation.run(team)
        if team.leads:
            self._log_row(self._validation.loss, rate)
            self._over.fill_(self._has_no_patience())
        self._position.train_losses.clear()
        team.barrier()
        if team.leads:
            self._keep_for_replay()

    def _has_no_patience(self) -> bool:
        position, patience = self._position, self.settings.patience
        since = [row["step"] for row in position.rows if row["step"] > (position.best_step or 0)]
        return patience is not None and len(since) >= patience

    def _log_row(self, val_loss: float, rate: float) -> None:
        self._refuse_non_finite(val_loss, "the validation loss", self._position.step)
        position, losses = self._position, self._position.train_losses
        position.rows.append(
            {
                "step": position.step,
                "train_loss": math.fsum(losses) / len(losses) if losses else None,
                "val_loss": val_loss,
                "learning_rate": rate,
                "gradient_norm": position.gradient_norm if losses else None,
                "weights_sha256": sha256_of(self._shards.weights),
            }
        )
        if val_loss < position.best_val_loss:
            position.best_step, position.best_val_loss = position.step, val_loss
            self._best.copy_(self._shards.weights)
        if self._watched is not None:
            position.diagnostics += self._watched.rows(position.step, self._shards.weights)
            position.diagnostics += diagnostics.activations(
                position.step, self.model, self._validation.first_window()
            )
        self._write_sample(val_loss)

    def _write_sample(self, val_loss: float) -> None:
        if not self.settings.sample_tokens:
            return
        drawn = SAMPLE.model_copy(
            update={"max_tokens": self.settings.sample_tokens, "seed": self.seed}
        )
        text = continue_text(self.model, self.tokenizer, "", drawn)
        self._position.samples.append({"step": self._position.step, "text": text})
        shown = " ".join(text.split())[:90]
        quoted = f"  “{shown}”" if shown else ""
        self.host.progress.say(f"step {self._position.step}: val {val_loss:.4f}{quoted}")

    def _keep_for_replay(self) -> None:
        """Store the state at the last validation but the one at the end."""
        step, settings = self._position.step, self.settings
        last = settings.max_steps - step <= settings.val_interval or settings.patience is not None
        if step % settings.val_interval == 0 and last and not self._is_over():
            tensors = {"weights": self._shards.weights, "states": self._shards.states}
            self._last_interval = state.State(tensors, self._position).copy()

    # What only rank 0 does

    def _tell(self, rate: float) -> None:
        loss = self._position.last_loss
        speed = self._tokens_per_second()
        self.host.progress.step(f"loss {loss:.4f}  rate {rate:.2e}  {speed:,.0f} tokens/s")

    def _save_now_and_then(self, step: int) -> None:
        """Save every few seconds, if the step's losses vouch for the weights."""
        if time.monotonic() - self._saved_at >= self.host.checkpoint_seconds:
            self._refuse_non_finite(self._shards.loss.item(), "the loss", step)
            self._save()

    def _stop_here(self, team: Team) -> None:
        if team.leads:
            self._save()
        raise Stopped(
            f"stopped after step {self._position.step} of {self.settings.max_steps}; "
            "the same command resumes from there"
        )

    def _save(self) -> None:
        self._catch_up()
        shards = self._shards
        tensors = {"weights": shards.weights, "states": shards.states, "best": self._best}
        state.write(self.host.state, state.State(tensors, self._position), self._last_interval)
        self._saved_at = time.monotonic()

    def _resume(self) -> None:
        saved = state.read(self.host.state)
        if saved is None:
            if self.host.state.is_file():
                self.host.progress.say(f"{self.host.state.name} is damaged: begins from step 0")
            return
        (tensors, self._position), self._last_interval = saved
        self._shards.weights.copy_(tensors["weights"])
        self._shards.states.copy_(tensors["states"])
        self._best.copy_(tensors["best"])
        self._over.fill_(self._has_no_patience())
        if self._last_interval is None:
            self._keep_for_replay()  # it resumes from just there
        self.host.progress.say(f"resumes from step {self._position.step}")

    @contextmanager
    def _stopping_on_signals(self) -> Iterator[None]:
        """End the training on Ctrl-C or SIGTERM after the current step, its state saved."""

        def ask(number: int, frame: FrameType | None) -> None:
            self._asked_to_stop = True

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, ask) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)
