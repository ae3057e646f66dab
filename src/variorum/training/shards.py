"""Do the work of a step, cut into logical shards, in memory that ranks share.

A step has three parts: each shard's gradient, computed into a vector of its own; the mean of these
vectors, summed in the order of the shards, slice by slice; the update of the weights, share by
share. Any rank of a team may do any piece of a part; the bits are the same. No part waits for a
GPU: what the host knows is sent ahead, and losses and norms stay there until somebody reads them.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from variorum.base import components
from variorum.config.training_settings import TrainingSettings
from variorum.model.gpt import GPT
from variorum.training import flat, numerics, tables
from variorum.training.batches import Batches
from variorum.training.draws import seed_torch
from variorum.training.tables import Tables, TouchedRows
from variorum.training.team import Place


class Shards:
    """Hold a training's weights, gradients and optimizer's states: flat float32 vectors.

    Weights and each of the states have all numbers (n,). A shard's gradient has the dense ones, and
    then the rows of tables that the step's batch looks up.
    """

    def __init__(
        self, model: GPT, settings: TrainingSettings, batches: Batches, seed: int, place: Place
    ) -> None:
        self.model, self.settings, self.batches, self.seed = model, settings, batches, seed
        self._loss = numerics.compiled(model) if settings.compile else model.loss
        self._optimizer: Any = components.load("training/optimizers", settings.optimizer)
        self._trained = {name for name, p in model.named_parameters() if p.requires_grad}
        self.layout = flat.Layout.of(model)
        self._tables = Tables(self.layout, model)
        self._touched: list[TouchedRows] = []
        self._batch: tuple[Tensor, Tensor]
        takes_matrices = hasattr(self._optimizer, "update_matrices")
        self._shares = self.layout.shares(settings.shards, matrices_whole=takes_matrices)
        size, shards = self.layout.size, settings.shards
        n_tokens = settings.batch_size * model.settings.context_length
        self.weights = place(flat.gather(self.layout, model))
        device = self.weights.device
        self.gradients = place(
            torch.zeros(shards, self.layout.dense + self._tables.most(n_tokens), device=device)
        )
        self.states = place(torch.zeros(len(self._optimizer.STATES), size, device=device))
        self.decayed = flat.decayed(self.layout, model)
        exact = torch.device("cpu") if device.type == "mps" else device  # Apple's has no float64
        self._losses = place(torch.zeros(shards, dtype=torch.float64, device=exact))
        self._squares = place(torch.zeros(shards, dtype=torch.float64, device=exact))
        self._places = [flat.gradient_places(self.layout, model, g) for g in self.gradients]

    @property
    def loss(self) -> Tensor:
        """Return the batch's mean loss (), in nats a token, once all gradients are computed."""
        return self._losses.mean()

    @property
    def norm(self) -> Tensor:
        """Return the norm () of the mean gradient, before clipping, once it is summed."""
        return self._squares.sum().sqrt()

    def gradient_views(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each parameter's name and its mean gradient, once it is summed."""
        return tables.gradient_views(self.layout, self._touched, self.gradients[0])

    def begin(self, step: int) -> None:
        """Read a step's batch, and find the rows it looks up; every rank does."""
        self._batch = self.batches.rows(step, slice(self.settings.batch_size))
        device = self.weights.device
        self._touched = [
            replace(table, rows=_sent(table.rows, device))
            for table in self._tables.touched(self._batch[0])
        ]

    def compute_gradient(self, step: int, shard: int) -> None:
        """Compute a shard's mean gradient and loss, once the step began, into its memory."""
        settings, device = self.settings, self.weights.device
        seed_torch(self.seed, step, shard, device)
        gradient = self.gradients[shard]
        gradient[: self._end].zero_()
        for parameter, part_of_it in self._places[shard]:
            parameter.grad = part_of_it
        self.model.train()
        rows = settings.batch_size // settings.shards // settings.accumulation
        losses = torch.zeros_like(self._losses[shard])
        for part in range(settings.accumulation):
            begin = (shard * settings.accumulation + part) * rows
            inputs, targets = (_sent(ids[begin : begin + rows], device) for ids in self._batch)
            with numerics.precision(settings.precision, device):
                loss = self._loss(inputs, targets) / settings.accumulation
            loss.backward()  # type: ignore[no-untyped-call]
            losses += loss.detach().to(losses.device)
        self._tables.gather(self._touched, gradient)
        self._losses[shard] = losses

    @property
    def _end(self) -> int:
        """Return how much of the gradients' memory this step uses."""
        return tables.end_of(self._touched, self.layout)

    def sum_gradients(self, index: int) -> None:
        """Compute the mean of the shards' gradients over one slice, in the first one's vector."""
        part = self.layout.slices(self.settings.shards, end=self._end)[index]
        total = self.gradients[0, part]
        for shard in range(1, self.settings.shards):
            total += self.gradients[shard, part]
        total /= self.settings.shards
        self._squares[index] = flat.square_sum(total)

    def update(self, index: int, step: int, rate: float) -> None:
        """Clip and apply one share's gradients: a run of the vector, rows, and matrices."""
        settings, share = self.settings, self._shares[index]
        norm, most = self.norm, settings.grad_clip or torch.inf
        scale = torch.where(norm > most, most / norm, 1.0)
        self._optimizer.update(
            self.weights[share.run],
            self.gradients[0, share.run].mul_(scale),
            tuple(self.states[:, share.run]),
            self.decayed[share.run],
            step,
            rate,
            settings,
        )
        for table in self._touched:
            self._update_rows(table, table.part(index, settings.shards), step, rate, scale)
        for names in share.matrices:
            self._update_matrices(names, rate, scale)

    def _update_rows(
        self, table: TouchedRows, part: slice, step: int, rate: float, scale: Tensor
    ) -> None:
        """Update some of the rows that the batch looked up in a table."""
        rows = table.rows[part]
        vectors = [self.layout.view(vector, table.name) for vector in (self.weights, *self.states)]
        weights, *states = (vector[rows] for vector in vectors)
        gradients = table.gradients(self.gradients[0])[part].mul_(scale)
        decayed = torch.ones_like(weights)
        self._optimizer.update(weights, gradients, states, decayed, step, rate, self.settings)
        for vector, changed in zip(vectors, (weights, *states), strict=True):
            vector[rows] = changed

    def _update_matrices(self, names: tuple[str, ...], rate: float, scale: Tensor) -> None:
        """Update whole matrices of one shape."""
        vectors = (self.weights, self.gradients[0], *self.states)
        weights, gradients, *states = (
            [
                matrix
                for name in names
                if name in self._trained
                for matrix in self._matrices(vector, name)
            ]
            for vector in vectors
        )
        if weights:
            for gradient in gradients:
                gradient.mul_(scale)
            self._optimizer.update_matrices(weights, gradients, states, rate, self.settings)

    def _matrices(self, vector: Tensor, name: str) -> tuple[Tensor, ...]:
        """Return the matrices of which a parameter consists, as far as they are taken apart."""
        parts = self.layout.parts.get(name, 1) if self.settings.muon_separately else 1
        return self.layout.view(vector, name).chunk(parts)


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host's on a device, without waiting for an NVIDIA GPU."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def sha256_of(weights: Tensor) -> str:
    """Return the SHA-256 of the flat weights (n,)."""
    return hashlib.sha256(weights.cpu().numpy().tobytes()).hexdigest()
