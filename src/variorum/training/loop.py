"""The training loop, for pretraining and fine-tuning alike.

A batch is cut into a fixed number of logical shards. Each shard's gradient is computed by one
thread into a vector of its own, and the vectors are summed in the order of the shards; then the
parameters, cut into as many slices, are updated slice by slice. Both cuts are part of the settings,
so one process that does everything and several that share the work make the same bits.

The log, the samples and the choice of the checkpoint follow from the settings alone; how long
things took does not enter them.
"""

import hashlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from variorum import components
from variorum.config import SamplingSettings, TrainingSettings
from variorum.errors import Stopped, VariorumError
from variorum.generation.text import continue_text
from variorum.model.gpt import GPT
from variorum.model.memory import windows_at_once
from variorum.progress import Progress
from variorum.tokenizer.base import Tokenizer
from variorum.training import batches, diagnostics, flat, state
from variorum.training.batches import Batches, Tokens
from variorum.training.team import Member, assembled

Places = NDArray[np.int64]
Loss = Callable[[Tensor, Tensor], Tensor]
MOST_VAL_ROWS = 16  # windows of val in one forward pass
# every field, so that a changed default elsewhere changes nothing here
SAMPLE = SamplingSettings(
    temperature=0.8, top_k=None, top_p=0.95, valid_utf8=False, max_tokens=1, seed=0
)


@dataclass(frozen=True)
class Data:
    """What a training reads: token streams of the train and val parts.

    replayed: the train part of the base corpus, of which fine-tuning goes on showing the share
    `replay` of each batch.
    """

    train: Tokens
    val: Tokens
    replayed: Tokens | None = None
    replay: float = 0.0


@dataclass(frozen=True)
class Host:
    """Where a training runs; none of it changes a result.

    state: file of the state to go on from, saved every `checkpoint_seconds`.
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
    """The end of a training; the model holds the chosen weights.

    last_interval: the state at the last look at val before the end, to replay the rest from.
    """

    rows: list[dict[str, Any]]
    diagnostics: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    summary: dict[str, Any]
    last_interval: state.State
    tokens_per_second: float


def _shared(tensor: Tensor) -> Tensor:
    """The tensor in memory that forked processes see as well; `VariorumError` if there is none.

    One on a GPU stays where it is: no other process works on it.
    """
    if not tensor.is_cpu:
        return tensor
    try:
        tensor.share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise VariorumError(
            f"no shared memory is left for {tensor.nbytes:,} bytes ({error}); free some of "
            "/dev/shm, or give the container more of it, and run the same command again"
        ) from None
    return tensor


class _Shared:
    """The memory that a team works on; everything is flat float32 unless said."""

    def __init__(
        self,
        model: GPT,
        settings: TrainingSettings,
        n_states: int,
        n_val: int,
        *,
        matrices_whole: bool,
    ) -> None:
        self.layout = flat.Layout.of(model)
        self.shares = self.layout.shares(settings.shards, matrices_whole=matrices_whole)
        size, shards = self.layout.size, settings.shards
        self.weights = _shared(flat.gather(self.layout, model))
        device = self.weights.device
        self.gradients = _shared(torch.zeros(shards, size, device=device))
        self.states = _shared(torch.zeros(n_states, size, device=device))
        self.decayed = flat.decayed(self.layout, model)
        self.losses = _shared(torch.zeros(shards, dtype=torch.float64))
        self.squares = _shared(torch.zeros(shards, dtype=torch.float64))
        self.val_sums = _shared(torch.zeros(n_val, dtype=torch.float64))
        self.stop = _shared(torch.zeros(1, dtype=torch.int64))
        self.over = _shared(torch.zeros(1, dtype=torch.int64))


class Training:
    """One training of one model; `run` does it, from the saved state if there is one."""

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
        self._trained = {name for name, p in model.named_parameters() if p.requires_grad}
        self._batches = Batches(
            data.train,
            settings,
            seed,
            self.context_length,
            replayed=data.replayed,
            replay=data.replay,
        )
        self._loss = _compiled(model.loss) if settings.compile else model.loss
        self._optimizer = components.load("training/optimizers", settings.optimizer)
        self._schedule = components.load("training/schedules", settings.schedule)
        self._val_starts = self._places_in_val()
        self._val_rows = windows_at_once(model, MOST_VAL_ROWS)
        n_val = -(-len(self._val_starts) // self._val_rows)
        self._shared = _Shared(
            model,
            settings,
            len(self._optimizer.STATES),
            n_val,
            matrices_whole=hasattr(self._optimizer, "update_matrix"),
        )
        self._position = state.Position()
        self._best = self._shared.weights.clone()
        self._last_interval: state.State | None = None
        self._watched: diagnostics.Watch | None = None
        self._saved_at = self._begun = time.monotonic()
        self._first_step = 0
        self._asked_to_stop = False

    def _places_in_val(self) -> Places:
        """Where the windows of val begin: separate blocks, at most `val_tokens` in all."""
        length = min(len(self.data.val) - 1, max(self.settings.val_tokens, self.context_length))
        return np.arange(0, length - self.context_length + 1, self.context_length)

    def run(self) -> Outcome:
        """Train to the end.

        Raises `Stopped` if interrupted, and `VariorumError` if the loss is not finite.
        """
        self._go_on()
        settings, done = self.settings, self._position.step
        self._first_step, self._begun = done, time.monotonic()
        size = min(self.host.processes, settings.shards) if self.host.device == "cpu" else 1
        with (
            _one_thread(),
            assembled(size, self._steps) as leader,
            self._stopping_on_signals(),
            self.host.progress.counting(settings.max_steps, "steps", done),
        ):
            self._steps(leader)
        speed = self._tokens_per_second()
        flat.attach(self._shared.layout, self.model, self._chosen())
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
        """Speed since this process began or went on."""
        steps = self._position.step - self._first_step
        tokens = steps * self.settings.batch_size * self.context_length
        return tokens / (time.monotonic() - self._begun)

    def _chosen(self) -> Tensor:
        chosen = self._best if self.settings.selection == "best" else self._shared.weights
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
            "final_weights_sha256": weights_sha256(self._shared.weights),
            "final_states_sha256": weights_sha256(self._shared.states),
        }

    # The steps, as every member of the team takes them

    def _steps(self, member: Member) -> None:
        shared, settings = self._shared, self.settings
        flat.attach(shared.layout, self.model, shared.weights)
        if not self._position.rows:
            self._look_at_val(member)
        while not self._is_over():
            step = self._position.step + 1
            looks = step % settings.val_interval == 0 or step == settings.max_steps
            rate = self._schedule.rate(step, settings)
            for shard in member.share_of(settings.shards):
                self._compute_gradient(step, shard)
            member.meet()
            self._refuse_non_finite(shared.losses.mean().item(), "the loss", step)
            if member.leads:
                self._save_now_and_then()  # the weights that these losses vouch for
            for index in member.share_of(settings.shards):
                self._sum_gradients(index)
            member.meet()
            norm = shared.squares.sum().sqrt().item()
            self._refuse_non_finite(norm, "the gradient's norm", step)
            if looks:
                self._watch(member)
            for index in member.share_of(settings.shards):
                self._update(index, step, rate, norm)
            # Noted before the meeting, behind which other members write the next losses.
            self._note(step, norm)
            if member.leads:
                shared.stop.fill_(self._asked_to_stop or step == self.host.stop_after)
            member.meet()
            if looks:
                self._look_at_val(member, rate)
            if member.leads:
                self._tell(rate)
            if shared.stop.item() and not self._is_over():
                self._stop_here(member)

    def _is_over(self) -> bool:
        """Whether the last step is done, or the loss on val has not fallen for too long."""
        return self._position.step >= self.settings.max_steps or bool(self._shared.over.item())

    def _compute_gradient(self, step: int, shard: int) -> None:
        """Leave the mean gradient and loss of a shard's rows in its places of the memory."""
        settings, shared = self.settings, self._shared
        if self.model.settings.dropout:
            torch.manual_seed(_dropout_seed(self.seed, step, shard))
        gradient = shared.gradients[shard].zero_()
        flat.attach_gradients(shared.layout, self.model, gradient)
        self.model.train()
        rows = settings.batch_size // settings.shards // settings.accumulation
        losses = []
        for part in range(settings.accumulation):
            begin = (shard * settings.accumulation + part) * rows
            inputs, targets = self._here(self._batches.rows(step, slice(begin, begin + rows)))
            with _precision(settings.precision, inputs.device):
                loss = self._loss(inputs, targets) / settings.accumulation
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.item())
        shared.losses[shard] = math.fsum(losses)

    def _sum_gradients(self, index: int) -> None:
        """Mean of the shards' gradients over one slice, left in the first shard's vector."""
        shared = self._shared
        part = shared.layout.slices(self.settings.shards)[index]
        total = shared.gradients[0, part]
        for shard in range(1, self.settings.shards):
            total += shared.gradients[shard, part]
        total /= self.settings.shards
        shared.squares[index] = flat.square_sum(total)

    def _update(self, index: int, step: int, rate: float, norm: float) -> None:
        """Clip and apply the gradients of one share, a run of the vector and whole matrices."""
        shared, settings = self._shared, self.settings
        share = shared.shares[index]
        clipped = settings.grad_clip and norm > settings.grad_clip
        scale = settings.grad_clip / norm if clipped else 1.0
        self._optimizer.update(
            shared.weights[share.run],
            shared.gradients[0, share.run].mul_(scale),
            tuple(shared.states[:, share.run]),
            shared.decayed[share.run],
            step,
            rate,
            settings,
        )
        for name in share.matrices:
            weights, gradient, *states = (
                shared.layout.view(vector, name)
                for vector in (shared.weights, shared.gradients[0], *shared.states)
            )
            if name in self._trained:
                self._optimizer.update_matrix(weights, gradient.mul_(scale), states, rate, settings)

    def _refuse_non_finite(self, value: float, what: str, step: int) -> None:
        """Raise `VariorumError` if a number that the training stands on is none."""
        if not math.isfinite(value):
            saved = self.host.state
            good = f"; the last good state is {saved}" if saved.is_file() else ""
            raise VariorumError(
                f"{what} became {value} at step {step}; lower learning_rate "
                f"(now {self.settings.learning_rate}) or raise warmup_steps "
                f"(now {self.settings.warmup_steps}){good}"
            )

    def _note(self, step: int, norm: float) -> None:
        self._position.step = step
        self._position.last_loss = float(self._shared.losses.mean())
        self._position.train_losses.append(self._position.last_loss)
        self._position.gradient_norm = norm

    # Looking at val

    def _watch(self, member: Member) -> None:
        """Note what the update is about to change, before any member changes it."""
        if member.leads:
            self._watched = diagnostics.Watch(
                self._shared.layout, self._shared.weights, self._shared.gradients[0]
            )
        member.meet()

    def _look_at_val(self, member: Member, rate: float = 0.0) -> None:
        """Add a row to the log, choose, and write a sample; members share the forward passes."""
        member.meet()
        self.model.eval()
        with torch.inference_mode():
            for index in member.share_of(len(self._shared.val_sums)):
                places = self._val_starts[index * self._val_rows :][: self._val_rows]
                inputs, targets = self._windows_of_val(places)
                mean = self.model.loss(inputs, targets).item()
                self._shared.val_sums[index] = mean * targets.numel()
        member.meet()
        if member.leads:
            count = len(self._val_starts) * self.context_length
            self._log_row(math.fsum(self._shared.val_sums.tolist()) / count, rate)
            self._shared.over.fill_(self._has_no_patience())
        self._position.train_losses.clear()
        member.meet()
        if member.leads:
            self._keep_for_replay()

    def _has_no_patience(self) -> bool:
        position, patience = self._position, self.settings.patience
        looks = [row["step"] for row in position.rows if row["step"] > (position.best_step or 0)]
        return patience is not None and len(looks) >= patience

    def _windows_of_val(self, places: Places) -> tuple[Tensor, Tensor]:
        return self._here(batches.windows(self.data.val, places, self.context_length))

    def _here(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """A batch where the model is."""
        inputs, targets = (tensor.to(self.host.device) for tensor in batch)
        return inputs, targets

    def _log_row(self, val_loss: float, rate: float) -> None:
        self._refuse_non_finite(val_loss, "the loss on val", self._position.step)
        position, losses = self._position, self._position.train_losses
        position.rows.append(
            {
                "step": position.step,
                "train_loss": math.fsum(losses) / len(losses) if losses else None,
                "val_loss": val_loss,
                "learning_rate": rate,
                "gradient_norm": position.gradient_norm if losses else None,
                "weights_sha256": weights_sha256(self._shared.weights),
            }
        )
        if val_loss < position.best_val_loss:
            position.best_step, position.best_val_loss = position.step, val_loss
            self._best.copy_(self._shared.weights)
        if self._watched is not None:
            position.diagnostics += self._watched.rows(position.step, self._shared.weights)
            position.diagnostics += diagnostics.activations(
                position.step, self.model, self._windows_of_val(self._val_starts[:1])[0]
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
        self.host.progress.say(f"step {self._position.step}: val {val_loss:.4f}  “{shown}”")

    def _keep_for_replay(self) -> None:
        """Keep the state behind the last look at val but the one at the end."""
        step, settings = self._position.step, self.settings
        last = settings.max_steps - step <= settings.val_interval or settings.patience is not None
        if step % settings.val_interval == 0 and last and not self._is_over():
            tensors = {"weights": self._shared.weights, "states": self._shared.states}
            self._last_interval = state.State(tensors, self._position).copy()

    # What only the leader does

    def _tell(self, rate: float) -> None:
        loss = self._position.last_loss
        speed = self._tokens_per_second()
        self.host.progress.step(f"loss {loss:.4f}  rate {rate:.2e}  {speed:,.0f} tokens/s")

    def _save_now_and_then(self) -> None:
        """Save every few seconds; where this is called, the weights are known to be good."""
        if time.monotonic() - self._saved_at >= self.host.checkpoint_seconds:
            self._save()

    def _stop_here(self, member: Member) -> None:
        if member.leads:
            self._save()
        raise Stopped(
            f"stopped after step {self._position.step} of {self.settings.max_steps}; "
            "the same command goes on from there"
        )

    def _save(self) -> None:
        shared = self._shared
        tensors = {"weights": shared.weights, "states": shared.states, "best": self._best}
        state.write(self.host.state, state.State(tensors, self._position), self._last_interval)
        self._saved_at = time.monotonic()

    def _go_on(self) -> None:
        saved = state.read(self.host.state)
        if saved is None:
            if self.host.state.is_file():
                self.host.progress.say(f"{self.host.state.name} is damaged: begins from step 0")
            return
        (tensors, self._position), self._last_interval = saved
        self._shared.weights.copy_(tensors["weights"])
        self._shared.states.copy_(tensors["states"])
        self._best.copy_(tensors["best"])
        self._shared.over.fill_(self._has_no_patience())
        if self._last_interval is None:
            self._keep_for_replay()  # it goes on from just there
        self.host.progress.say(f"goes on from step {self._position.step}")

    @contextmanager
    def _stopping_on_signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the training after the step at hand, with its state saved."""

        def ask(number: int, frame: FrameType | None) -> None:
            self._asked_to_stop = True

        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, ask) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def _precision(name: str, device: torch.device) -> AbstractContextManager[Any]:
    """Matrix products in bf16 while the block runs, or everything in fp32."""
    if name == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def _compiled(loss: Loss) -> Loss:
    """The function as one program that PyTorch makes of it when it is first called.

    It is made in this process: members of a team may start none of their own.

    Raises:
        VariorumError: if there is no compiler for it.
    """
    import torch._inductor.config as inductor
    from torch._inductor import cpp_builder

    try:
        cpp_builder.get_cpp_compiler()
    except RuntimeError:
        raise VariorumError(
            "compile: true needs a C++ compiler, and there is none that PyTorch finds; install g++ "
            "(or set CXX to one), or leave compile out"
        ) from None
    inductor.compile_threads = 1
    compiled: Loss = torch.compile(loss)
    return compiled


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread and deterministic kernels while the block runs."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def _dropout_seed(seed: int, step: int, shard: int) -> int:
    """Equal for equal (seed, step, shard), whichever process computes the shard."""
    digest = hashlib.sha256(f"{seed} {step} {shard}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def weights_sha256(weights: Tensor) -> str:
    """SHA-256 of the flat weights."""
    return hashlib.sha256(weights.cpu().numpy().tobytes()).hexdigest()
