"""Do the work of a step, cut into logical shards, in memory that ranks share.

A step has three parts: each shard's gradient, computed into a vector of its own; the mean of these
vectors, summed in the order of the shards, slice by slice; the update of the weights, share by
share. Any rank of a team may do any piece of a part; the bits are the same.
"""

import hashlib
import math

import torch
from torch import Tensor

from variorum.base import components
from variorum.config.training_settings import TrainingSettings
from variorum.model.gpt import GPT
from variorum.training import flat, numerics
from variorum.training.batches import Batches
from variorum.training.draws import seed_torch
from variorum.training.team import Place


class Shards:
    """Hold a training's weights, gradients and optimizer's states: flat float32 vectors (n,)."""

    def __init__(
        self, model: GPT, settings: TrainingSettings, batches: Batches, seed: int, place: Place
    ) -> None:
        self.model, self.settings, self.batches, self.seed = model, settings, batches, seed
        self._loss = numerics.compiled(model.loss) if settings.compile else model.loss
        self._optimizer = components.load("training/optimizers", settings.optimizer)
        self._trained = {name for name, p in model.named_parameters() if p.requires_grad}
        self.layout = flat.Layout.of(model)
        self._shares = self.layout.shares(
            settings.shards, matrices_whole=hasattr(self._optimizer, "update_matrix")
        )
        size, shards = self.layout.size, settings.shards
        self.weights = place(flat.gather(self.layout, model))
        device = self.weights.device
        self.gradients = place(torch.zeros(shards, size, device=device))
        self.states = place(torch.zeros(len(self._optimizer.STATES), size, device=device))
        self.decayed = flat.decayed(self.layout, model)
        self._losses = place(torch.zeros(shards, dtype=torch.float64))
        self._squares = place(torch.zeros(shards, dtype=torch.float64))

    @property
    def loss(self) -> float:
        """Return the batch's mean loss, in nats a token, once all gradients are computed."""
        return self._losses.mean().item()

    @property
    def norm(self) -> float:
        """Return the norm of the mean gradient, before clipping, once it is summed."""
        return self._squares.sum().sqrt().item()

    def compute_gradient(self, step: int, shard: int) -> None:
        """Compute a shard's mean gradient and loss into its part of the memory."""
        settings = self.settings
        seed_torch(self.seed, step, shard)
        gradient = self.gradients[shard].zero_()
        flat.attach_gradients(self.layout, self.model, gradient)
        self.model.train()
        rows = settings.batch_size // settings.shards // settings.accumulation
        losses = []
        for part in range(settings.accumulation):
            begin = (shard * settings.accumulation + part) * rows
            batch = self.batches.rows(step, slice(begin, begin + rows))
            inputs, targets = (tensor.to(self.weights.device) for tensor in batch)
            with numerics.precision(settings.precision, inputs.device):
                loss = self._loss(inputs, targets) / settings.accumulation
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.item())
        self._losses[shard] = math.fsum(losses)

    def sum_gradients(self, index: int) -> None:
        """Compute the mean of the shards' gradients over one slice, in the first one's vector."""
        part = self.layout.slices(self.settings.shards)[index]
        total = self.gradients[0, part]
        for shard in range(1, self.settings.shards):
            total += self.gradients[shard, part]
        total /= self.settings.shards
        self._squares[index] = flat.square_sum(total)

    def update(self, index: int, step: int, rate: float, norm: float) -> None:
        """Clip and apply one share's gradients: a run of the vector, and matrices."""
        settings, share = self.settings, self._shares[index]
        clipped = settings.grad_clip and norm > settings.grad_clip
        scale = settings.grad_clip / norm if clipped else 1.0
        self._optimizer.update(
            self.weights[share.run],
            self.gradients[0, share.run].mul_(scale),
            tuple(self.states[:, share.run]),
            self.decayed[share.run],
            step,
            rate,
            settings,
        )
        for name in share.matrices:
            weights, gradient, *states = (
                self.layout.view(vector, name)
                for vector in (self.weights, self.gradients[0], *self.states)
            )
            if name in self._trained:
                self._optimizer.update_matrix(weights, gradient.mul_(scale), states, rate, settings)


def sha256_of(weights: Tensor) -> str:
    """Return the SHA-256 of the flat weights (n,)."""
    return hashlib.sha256(weights.cpu().numpy().tobytes()).hexdigest()
