"""Train without options or omissions, for reading beside `model.gpt2`.

`training.loop` is the loop that is used here; a test holds that on one thread the two give equal
losses and weights to the bit. All parameters of the model lie in one vector (n,), so the optimizer
is written as on paper. Shapes: B sequences, T tokens.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from variorum.model.gpt import GPT
from variorum.model.gpt2 import GPT2
from variorum.training import flat
from variorum.training.batches import Tokens

MAX_STEPS, WARMUP_STEPS = 2000, 100
LEARNING_RATE, MIN_LEARNING_RATE = 1e-3, 1e-4  # the highest, and the one that follows the last
BETA1, BETA2, EPSILON = 0.9, 0.99, 1e-8
WEIGHT_DECAY = 0.1
GRAD_CLIP = 1.0  # largest norm of the gradient
BATCH_SIZE, SHARDS = 24, 2  # a batch is computed in so many parts


def rate(step: int) -> float:
    """Return the learning rate of a step: a linear rise, then half a cosine down."""
    if step <= WARMUP_STEPS:
        return LEARNING_RATE * step / (WARMUP_STEPS + 1)
    share = (step - 1 - WARMUP_STEPS) / (MAX_STEPS - WARMUP_STEPS)  # of the way, 0 to under 1
    fallen = 0.5 * (1 - math.cos(math.pi * share))
    return LEARNING_RATE - fallen * (LEARNING_RATE - MIN_LEARNING_RATE)


def batch(tokens: Tokens, context_length: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Return inputs and targets (B, T) of a step: windows from anywhere in tokens (N,)."""
    generator = np.random.Philox(key=np.array([seed, step], dtype=np.uint64))
    n_windows = np.uint64(len(tokens) - context_length)
    starts = (generator.random_raw(BATCH_SIZE) % n_windows).astype(np.int64)  # (B,)
    places = starts[:, None] + np.arange(context_length + 1)  # (B, T + 1)
    windows = torch.from_numpy(tokens[places].astype(np.int64))
    return windows[:, :-1], windows[:, 1:]


def train(model: GPT | GPT2, tokens: Tokens, context_length: int, seed: int) -> Iterator[float]:
    """Train the model in place on tokens (N,); yield each step's loss (nats a token)."""
    layout = flat.Layout.of(model)
    weights = flat.gather(layout, model)  # (n,), as all vectors below
    decayed = flat.decayed(layout, model)  # 1 for matrices, 0 for biases and norms
    gradient, mean, mean_square = (torch.zeros_like(weights) for _ in range(3))
    flat.attach(layout, model, weights)  # from here on, changing weights changes the model,
    flat.attach_gradients(layout, model, gradient)  # and backward() adds to gradient
    slices = layout.slices(SHARDS)

    for step in range(1, MAX_STEPS + 1):
        gradient.zero_()
        losses = []
        inputs, targets = batch(tokens, context_length, seed, step)  # (B, T)
        for x, y in zip(inputs.chunk(SHARDS), targets.chunk(SHARDS), strict=True):
            loss = model.loss(x, y)  # mean cross entropy of the next tokens, in nats
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.item())
        gradient /= SHARDS
        norm = math.sqrt(sum(float(flat.square_sum(gradient[part])) for part in slices))
        if norm > GRAD_CLIP:
            gradient *= GRAD_CLIP / norm
        for part in slices:  # AdamW (Loshchilov and Hutter 2019, algorithm 2)
            w, g, m, v = weights[part], gradient[part], mean[part], mean_square[part]
            w.addcmul_(w, decayed[part], value=-rate(step) * WEIGHT_DECAY)
            m.lerp_(g, 1 - BETA1)
            v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
            # Both means began at zero; dividing by the weights given so far removes that bias.
            scale = torch.sqrt(v).div_((1 - BETA2**step) ** 0.5).add_(EPSILON)
            w.addcdiv_(m, scale, value=-rate(step) / (1 - BETA1**step))
        yield sum(losses) / SHARDS
